//! What is held back, by whom and until when; many alerts at once; who hears; what became of a rule.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseReceiver, picture, receiver, THIS_MACHINE, until, visit } from './browser.mjs'

const text = (page, id) => page.getByTestId(id).innerText()
const PHONE = { viewport: { width: 390, height: 844 } }

/** Makes a rule that is true at once on every host; gives its row. */
async function makeRule(page, name) {
  await page.goto('/rules')
  await page.getByTestId('make-rule').click()
  await page.getByTestId('field-name').fill(name)
  await page.getByTestId('rule-text').fill('memory.used_pct >= 0')
  await page.getByTestId('save-rule').click()
  const row = page.locator('[data-testid=rules] tr', { hasText: name })
  await row.waitFor()
  return row
}
const alertOf = (page, name) => page.locator('[data-testid=alerts] tr', { hasText: name }).filter({ hasText: THIS_MACHINE })

test('who hears by default is said in words, and so is who hears next', () =>
  visit('/who-hears', async (page) => {
    for (const name of ['ops', 'night', 'boss']) await receiver(page, name)
    await page.reload()
    await page.getByTestId('nobody-hears').waitFor()
    await chooseReceiver(page, 'receivers', 'ops')
    await page.getByTestId('add-step').click()
    await chooseReceiver(page, 'step-receivers-1', 'night')
    await page.getByTestId('add-step').click()
    await chooseReceiver(page, 'step-receivers-2', 'boss')
    assert.equal(await text(page, 'policy-words'), 'night at once; boss 10 min later, while nobody looks after it')
    await page.getByTestId('step-wait-1').fill('0')
    await page.getByTestId('save-defaults').click()
    await until('what is wrong with no minute', () => text(page, 'mistake-policy'), (it) => /60000/.test(it))
    await page.getByTestId('step-wait-1').fill('10')
    await page.getByTestId('save-defaults').click()
    await page.getByTestId('defaults-saved').waitFor()
    await picture(page, 'silences-1-who-hears')
    await page.reload()
    await until('what was saved', () => text(page, 'policy-words'), (it) => /boss 10 min later/.test(it))
    assert.equal(await page.getByTestId('nobody-hears').count(), 0)
  }, { outage: true }))

test('an alert is held back by one click, and told again once the silence is ended', () =>
  visit('/rules', async (page) => {
    await makeRule(page, 'Any memory')
    await page.goto('/alerts')
    await alertOf(page, 'Any memory').getByRole('link').click()
    await page.getByTestId('silence-1h').click()
    await until('the silence', () => text(page, 'silences-then'), (it) => /Any memory/.test(it))
    await picture(page, 'silences-2-alert')
    await page.getByTestId('silence-until').click()
    await page.getByTestId('silence-form').waitFor()
    assert.equal(await page.getByTestId('matcher-word').first().inputValue(), 'any-memory')
    await picture(page, 'silences-3-until')
    await page.keyboard.press('Escape')

    await page.goto('/silences')
    const row = page.locator('[data-testid=silences] tr', { hasText: 'Any memory' })
    await until('how long it lasts', () => row.getByTestId('silence-state').innerText(), (it) => /min left|h left/.test(it))
    await row.getByTestId('edit-silence').click()
    await page.getByTestId('field-reason').fill('new modules')
    await page.getByTestId('save-silence').click()
    const changed = page.locator('[data-testid=silences] tr', { hasText: 'new modules' })
    await changed.waitFor()
    await changed.getByTestId('end-silence').click()
    await page.getByTestId('confirm-yes').click()
    await changed.waitFor({ state: 'detached' })
  }))

test('maintenance comes again each week, by the clock of its place, and its windows are silences', () =>
  visit('/silences', async (page) => {
    await page.getByTestId('make-silence').click()
    await page.getByTestId('save-silence').click()
    assert.match(await text(page, 'mistake-matchers'), /At least one/)
    await page.getByTestId('field-reason').fill('backup')
    await page.getByTestId('matcher-kind').selectOption('tag')
    await page.getByTestId('matcher-word').fill('db')
    await page.getByTestId('when-weekly').check()
    for (const day of [1, 2, 3, 4, 5, 6]) await page.getByTestId(`day-${day}`).click()
    // All day long: one window always runs.
    await page.getByTestId('field-begin').fill('00:00')
    await page.getByTestId('field-end').fill('00:00')
    await page.getByTestId('field-zone').fill('Europe/Atlantis')
    await picture(page, 'silences-4-weekly')
    await page.getByTestId('save-silence').click()
    await until('what is wrong with the zone', () => text(page, 'mistake-zone'), (it) => /Europe\/Berlin/.test(it))
    await page.getByTestId('field-zone').fill('Europe/Berlin')
    await page.getByTestId('save-silence').click()
    const row = page.locator('[data-testid=maintenance] tr', { hasText: 'backup' })
    await row.waitFor()
    assert.match(await row.innerText(), /Every day 00:00 to 00:00, Europe\/Berlin/)
    await until('the window that runs', async () => {
      await page.reload()
      await page.getByTestId('maintenance').waitFor()
      return page.locator('[data-testid=silences] tr', { hasText: 'backup' }).count()
    }, (it) => it === 1)
    await picture(page, 'silences-5-list')
    await row.getByTestId('remove-maintenance').click()
    await page.getByTestId('confirm-yes').click()
    await row.waitFor({ state: 'detached' })
    await until('the end of its window', async () => {
      await page.reload()
      await page.getByTestId('no-maintenance').waitFor()
      return page.locator('[data-testid=silences] tr', { hasText: 'backup' }).count()
    }, (it) => it === 0)
  }, { outage: true }))

test('many alerts are spoken of at once, and lists are narrowed and sorted', () =>
  visit('/alerts', async (page) => {
    await alertOf(page, 'Any memory').waitFor()
    await page.getByTestId('filter-rule').fill('any-memory')
    await page.getByTestId('filter-rule').press('Enter')
    await page.getByTestId('sort').selectOption('duration')
    await until('the address', () => page.url(), (it) => /rule=any-memory/.test(it) && /sort=duration/.test(it))
    await page.getByTestId('choose-all').check()
    await page.getByTestId('bulk').waitFor()
    await picture(page, 'silences-6-bulk')
    await page.getByTestId('bulk-acknowledge').click()
    await until('who looks after it', () => alertOf(page, 'Any memory').innerText(), (it) => !/nobody/.test(it))
    await page.getByTestId('filter-level').selectOption('critical')
    await until('nothing is like that', () => text(page, 'no-alerts'), (it) => /No alert/.test(it))
  }))

test('what became of a rule is shown, and an older form can be had back', () =>
  visit('/rules', async (page) => {
    await page.locator('[data-testid=rules] tr', { hasText: 'Any memory' }).getByRole('link').click()
    await page.getByTestId('edit-rule').click()
    await page.getByTestId('rule-text').fill('memory.used_pct >= 1')
    await page.getByTestId('add-step').click()
    await chooseReceiver(page, 'step-receivers-1', 'ops')
    await page.getByTestId('save-rule').click()
    const history = page.getByTestId('rule-history').locator('li')
    await until('two revisions', () => history.count(), (it) => it === 2)
    assert.match(await history.first().innerText(), /memory\.used_pct >= 0[^]*memory\.used_pct >= 1[^]*ops at once/)
    await picture(page, 'silences-7-history')
    await page.getByTestId('restore').click()
    await page.getByTestId('confirm-yes').click()
    await until('three revisions', () => history.count(), (it) => it === 3)
    assert.match(await history.first().innerText(), /−memory\.used_pct >= 1\s*\+memory\.used_pct >= 0/)
  }))

test('on a phone silences, rules and alerts fit', () =>
  visit('/silences', async (page) => {
    for (const path of ['/silences', '/alerts', '/rules', '/rules/any-memory', '/who-hears']) {
      await page.goto(path)
      await page.getByRole('heading', { level: 1 }).waitFor()
      // A live page always has requests under way: what it has to show is there once its list, form or history is.
      await page.locator('main table, main form, main ol, [data-testid^=no-]').first().waitFor()
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
      await picture(page, `silences-phone${path.replaceAll('/', '-')}`)
      assert.ok(wide <= 0, `${path} is ${wide} px too wide for a phone`)
    }
  }, PHONE))
