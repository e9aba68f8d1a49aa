//! The pictures of the README, made from a running page with some simulated hosts:
//! node gateway/web/dev/picture.mjs http://127.0.0.1:7171 sim-00003 docs

import { join } from 'node:path'
import { chromium } from 'playwright-core'

const [base, host, folder] = process.argv.slice(2)
if (!base || !host || !folder) throw new Error('node gateway/web/dev/picture.mjs <address of the page> <host> <folder>')

const PICTURES = [
  { name: 'fleet', path: '/?sort=-cpu', there: '[data-testid=host-row] path[d^=M]' },
  { name: 'host', path: `/hosts/${encodeURIComponent(host)}?range=5m`, there: '[data-testid=chart] canvas' },
]
const browser = await chromium.launch({ executablePath: process.env.WATCHKEEPER_CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] })
for (const { name, path, there } of PICTURES) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: 'light' })
  await page.goto(base + path, { waitUntil: 'load' })
  await page.locator('[data-phase=live]').waitFor()
  await page.locator(there).first().waitFor({ state: 'attached' })
  // Live streams never end, so "no more requests" never comes; every answer of history does.
  await page.waitForFunction(() => performance.getEntriesByType('resource').some((it) => it.name.includes('/history') && it.responseEnd > 0))
  await page.evaluate(() => new Promise((done) => setTimeout(done, 1000)))
  await page.screenshot({ path: join(folder, `${name}.png`) })
  await page.close()
}
await browser.close()
