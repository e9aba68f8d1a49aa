//! How the page is built: same-origin files only, so that a strict Content-Security-Policy holds.

import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vite'

/** For work on the page: `WATCHKEEPER_GATEWAY=http://127.0.0.1:7171 npm run dev` shows a running system. */
const gateway = process.env.WATCHKEEPER_GATEWAY ?? 'http://127.0.0.1:7171'

export default defineConfig({
  plugins: [svelte({ compilerOptions: { runes: true } })],
  server: { host: '127.0.0.1', proxy: { '/api': gateway } },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
})
