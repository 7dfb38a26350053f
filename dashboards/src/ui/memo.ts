// SPDX-License-Identifier: Apache-2.0
// A component that is drawn again only when a property or a signal that it reads changes. (preact/compat has one, with much else.)
import { Component, createElement, type ComponentChild, type FunctionComponent } from 'preact';

export function memo<P extends object>(inner: FunctionComponent<P>): FunctionComponent<P> {
  class Memo extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      const before = this.props as Record<string, unknown>;
      const after = next as Record<string, unknown>;
      const names = Object.keys(after);
      return names.length !== Object.keys(before).length || names.some((name) => after[name] !== before[name]);
    }
    override render(props: P): ComponentChild {
      return createElement(inner, props);
    }
  }
  return Memo as unknown as FunctionComponent<P>;
}
