//! The fleet: this machine live without a reload, found by sort, filter and keyboard, in light, dark and on a phone.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { changes, freshness, phase, row, THIS_MACHINE, until, visit } from './browser.mjs'

const hosts = (page) => page.locator('[data-testid=host-row]').evaluateAll((rows) => rows.map((it) => it.dataset.host))

test('this machine is live: its values change without a reload', () =>
  visit('/', async (page) => {
    await row(page, THIS_MACHINE).waitFor()
    await page.evaluate(() => (window.sameVisit = true))
    await phase(page, 'live')
    assert.match(await freshness(page).innerText(), /^Live · \d/)
    await changes('a value of a host that reports twice a second', row(page, 'load-00').getByTestId('cpu'))
    await changes('the network of this machine', row(page, THIS_MACHINE).getByTestId('seen'))
    assert.ok(await page.evaluate(() => window.sameVisit))
  }))

test('hosts are sorted by a column and back, and the address keeps it', () =>
  visit('/', async (page) => {
    await row(page, 'load-02').waitFor()
    const calm = await hosts(page)
    const head = page.locator('th:has([data-testid=sort-host])')
    await page.getByTestId('sort-host').click()
    await until('names from A', () => head.getAttribute('aria-sort'), (it) => it === 'ascending')
    const ascending = await hosts(page)
    await page.getByTestId('sort-host').click()
    await until('names from Z', () => hosts(page), (it) => it.join() === ascending.toReversed().join())
    assert.match(page.url(), /sort=-host/)
    await page.reload()
    await until('the order of the address', () => hosts(page), (it) => it.join() === ascending.toReversed().join())
    await page.getByTestId('sort-host').click()
    await until('calm order again', () => hosts(page), (it) => it.join() === calm.join())
  }))

test('the filter finds by name, status and value, and says what it does not understand', () =>
  visit('/', async (page) => {
    const filter = page.getByTestId('filter')
    await filter.fill('load-')
    await until('hosts whose names match', () => hosts(page), (it) => it.join() === 'load-00,load-01,load-02')
    assert.match(await page.getByTestId('host-count').innerText(), /^Hosts that match · 3 of \d+$/)
    await filter.fill('load- disk>99')
    await page.getByTestId('no-match').waitFor()
    await page.getByRole('button', { name: 'Show all hosts' }).click()
    await row(page, THIS_MACHINE).waitFor()
    await filter.fill('colour>3')
    assert.match(await page.getByTestId('filter-problem').innerText(), /no “colour” to compare/)
    await filter.fill('')
    await page.getByTestId('chip-silent').click()
    await until('the chip to stand in the filter', () => filter.inputValue(), (it) => it === 'status:silent')
  }))

test('everything is reached by keyboard, and the focus is seen', () =>
  visit('/', async (page) => {
    await row(page, THIS_MACHINE).waitFor()
    const focused = () => page.evaluate(() => document.activeElement?.dataset.testid ?? document.activeElement?.classList[0])
    await page.keyboard.press('Tab')
    assert.equal(await focused(), 'skip')
    await page.keyboard.press('/')
    assert.equal(await focused(), 'filter')
    await page.keyboard.type(THIS_MACHINE)
    await until('one host', () => hosts(page), (it) => it.length === 1)
    await page.keyboard.press('Enter')
    assert.equal(await focused(), 'host-link')
    assert.equal(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'solid')
    await page.keyboard.press('Enter')
    await page.getByTestId('host-name').waitFor()
    for (let tabs = 0; (await focused()) !== 'range-5m' && tabs < 20; tabs += 1) await page.keyboard.press('Tab')
    await page.keyboard.press('Space')
    await until('the range to be chosen', () => page.getByTestId('range-5m').getAttribute('aria-pressed'), (it) => it === 'true')
    await page.goBack()
    await until('the filter as it was', () => page.getByTestId('filter').inputValue(), (it) => it === THIS_MACHINE)
  }))

/** Contrast of the text of an element with the page behind it, after WCAG 2.2. */
const contrast = (element) =>
  element.evaluate((it) => {
    const luminance = (colour) => {
      const [r, g, b] = colour.match(/[\d.]+/g).map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4))
      return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const [light, dark] = [getComputedStyle(it).color, getComputedStyle(document.body).backgroundColor].map(luminance).sort((a, b) => b - a)
    return (light + 0.05) / (dark + 0.05)
  })
const background = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor)

test('dark follows the system, the choice is kept, and texts can be read in both', () =>
  visit(
    '/',
    async (page) => {
      await row(page, THIS_MACHINE).waitFor()
      const dark = await background(page)
      for (const text of [page.getByTestId('host-count'), freshness(page)]) assert.ok((await contrast(text)) >= 4.5)
      const theme = page.getByTestId('theme')
      await theme.click()
      assert.equal(await background(page), dark, 'from auto to dark nothing changes')
      await theme.click()
      const light = await background(page)
      assert.notEqual(light, dark)
      await page.reload()
      await row(page, THIS_MACHINE).waitFor()
      assert.equal(await background(page), light)
      for (const text of [page.getByTestId('host-count'), freshness(page)]) assert.ok((await contrast(text)) >= 4.5)
    },
    { colorScheme: 'dark' },
  ))

/** What is too small for a finger; a host's whole row leads to it, and words in a sentence may be small. */
const small = (page) =>
  page.locator('a, button, input').evaluateAll((all) =>
    all
      .filter((it) => it.checkVisibility() && !it.closest('p, dd, .skip, [aria-hidden]'))
      .map((it) => ({ it: it.outerHTML.slice(0, 90), box: (it.dataset.testid === 'host-link' ? it.closest('tr') : it).getBoundingClientRect() }))
      .filter(({ box }) => box.height < 40 || box.width < 40)
      .map(({ it, box }) => `${box.width} × ${box.height}: ${it}`),
  )

test('on a phone nothing overflows and everything can be tapped', () =>
  visit(
    '/',
    async (page) => {
      const places = {
        '/': row(page, THIS_MACHINE),
        [`/hosts/${THIS_MACHINE}`]: page.getByTestId('chart').first(),
        '/system': page.getByTestId('parts'),
        '/hosts': page.getByTestId('hosts-table'),
        '/team': page.getByTestId('members'),
        '/team/readers': page.getByTestId('make-reader'),
        '/team/audit': page.locator('[data-action]').first(),
        '/account': page.getByTestId('sessions'),
      }
      for (const [path, there] of Object.entries(places)) {
        await page.goto(path)
        await there.waitFor()
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${path} is wider than the phone`)
        assert.deepEqual(await small(page), [], path)
      }
    },
    { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true },
  ))
