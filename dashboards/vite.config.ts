// SPDX-License-Identifier: Apache-2.0
// The console is one page with hashed files. Nothing is inlined, so that the edge's Content-Security-Policy can stay at 'self'.
import { defineConfig } from 'vite';

// `npm run dev` serves the sources and passes /api on to a running edge: VONGGAC_EDGE=https://localhost:4443 npm run dev
const edge = process.env.VONGGAC_EDGE;

export default defineConfig({
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact', legalComments: 'none' },
  build: {
    target: 'es2022',
    outDir: 'dist',
    assetsDir: 'assets',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    reportCompressedSize: false,
  },
  server: edge ? { proxy: { '/api': { target: edge, secure: false } } } : {},
});
