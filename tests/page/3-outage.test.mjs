//! When parts are away the page says so calmly, keeps what it knows, and goes on by itself.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { changes, freshness, phase, programs, row, until, visit } from './browser.mjs'

const OUTAGE = { outage: true }

test('the gateway comes back: reconnecting, then live again without a reload', () =>
  visit(
    '/',
    async (page) => {
      await row(page, 'load-00').waitFor()
      await phase(page, 'live')
      await page.evaluate(() => (window.sameVisit = true))
      await programs('kill gateway')
      await phase(page, 'reconnecting')
      assert.match(await freshness(page).innerText(), /^Reconnecting… · values from .* ago$/)
      assert.match(await page.getByTestId('disconnected').innerText(), /last known values/)
      assert.match(await row(page, 'load-00').getByTestId('cpu').innerText(), /%/)
      await programs('start gateway')
      await phase(page, 'live')
      await page.getByTestId('disconnected').waitFor({ state: 'detached' })
      await changes('the value of a host', row(page, 'load-00').getByTestId('cpu'))
      assert.ok(await page.evaluate(() => window.sameVisit))
    },
    OUTAGE,
  ))

test('history is away: a calm note, live values go on, and it is all there afterwards', () =>
  visit(
    '/hosts/load-00?range=live',
    async (page) => {
      const value = page.locator('[data-chart=cpu]').getByTestId('chart-value')
      await value.waitFor()
      await programs('kill questdb')
      await page.reload()
      const note = page.getByTestId('history-away')
      assert.match(await note.innerText(), /History is away: .*Live values go on; history is asked again/s)
      await changes('a live value', value)
      await until('the lag to be told', () => freshness(page).innerText(), (it) => /^Live.*history/s.test(it))
      await programs('start questdb')
      await note.waitFor({ state: 'detached' })
      await until('all to be well', () => freshness(page).innerText(), (it) => /^Live · [^\n]*$/.test(it))
    },
    OUTAGE,
  ))

test('a silent host is told by word and shape, first of all', () =>
  visit('/', async (page) => {
    const mark = row(page, 'hostile').getByTestId('status')
    await until('the host to fall silent', () => mark.getAttribute('aria-label'), (it) => it === 'silent')
    assert.equal(await mark.evaluate((it) => getComputedStyle(it).borderStyle), 'dashed')
    const fine = row(page, 'load-00').getByTestId('status')
    assert.equal(await fine.evaluate((it) => getComputedStyle(it).borderStyle), 'solid')
    const need = page.getByTestId('need')
    assert.match(await need.innerText(), /No sample since \d\d:\d\d/)
    await until('the silent host on top', () => page.locator('[data-testid=host-row]').first().getAttribute('data-host'), (it) => it === 'hostile')
    assert.equal(await row(page, 'hostile').getByTestId('cpu').innerText(), '–', 'an old value is no value')
    await need.click()
    assert.match(await page.getByTestId('silent').innerText(), /^silent · no sample since \d\d:\d\d$/)
  }))

test('NATS comes back: the page stays, and values go on', () =>
  visit(
    '/',
    async (page) => {
      await row(page, 'load-00').waitFor()
      await programs('kill nats')
      await until('the page to tell', () => freshness(page).innerText(), (it) => /live values|Reconnecting/.test(it))
      await programs('start nats')
      await until('all to be well', () => freshness(page).innerText(), (it) => /^Live · [^\n]*$/.test(it))
      await changes('the value of a host', row(page, 'load-00').getByTestId('cpu'))
    },
    OUTAGE,
  ))
