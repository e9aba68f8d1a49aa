//! Alerts: a rule is made with its mistakes as typed, fires by itself, says why, is looked after, and is over with its rule.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseReceiver, picture, receiver, THIS_MACHINE, until, visit } from './browser.mjs'

const text = (page, id) => page.getByTestId(id).innerText()

test('a rule says what is wrong with it as it is typed, fires, says why, is looked after, and ends with the rule', () =>
  visit('/rules', async (page) => {
    await receiver(page, 'ops')
    await page.getByTestId('make-rule').click()
    await page.getByTestId('field-name').fill('Any load')
    await page.getByTestId('rule-text').fill('cpu.usag_pct >= 0')
    await until('the mistake', () => text(page, 'rule-error'), (it) => /Column 1/.test(it) && /cpu\.usage_pct/.test(it))
    await picture(page, 'alerts-2-mistake')
    await page.getByTestId('rule-text').fill('cpu.usage_pct>=0 severity critical')
    await until('the rule as it is read', () => text(page, 'rule-canonical'), (it) => it.startsWith('cpu.usage_pct >= 0 severity critical'))
    await chooseReceiver(page, 'receivers', 'ops')
    await page.getByTestId('save-rule').click()
    const saved = page.locator('[data-testid=rules] tr', { hasText: 'Any load' })
    await saved.waitFor()
    assert.equal(await saved.getByTestId('tells-nobody').count(), 0)
    await picture(page, 'alerts-1-rules')

    await page.goto('/alerts')
    // Alerts are about hosts that were enrolled; the simulated ones were not.
    const fired = page.locator('[data-testid=alerts] tr', { hasText: 'Any load' }).filter({ hasText: THIS_MACHINE })
    await fired.waitFor()
    await picture(page, 'alerts-3-open')
    await fired.getByRole('link').click()
    await page.getByTestId('transitions').waitFor()
    const why = await text(page, 'transitions')
    assert.match(why, /fired/)
    assert.match(why, /cpu\.usage_pct/, 'the sample that decided, though it was there before the rule')
    await until('who was to hear', () => text(page, 'notices'), (it) => /ops/.test(it) && /firing/.test(it))
    await page.getByTestId('acknowledge').click()
    await until('who looks after it', () => text(page, 'acknowledged-by'), (it) => it.length > 0)
    await picture(page, 'alerts-4-why')
    const address = page.url()

    await page.goto('/rules')
    await saved.getByTestId('remove-rule').click()
    await page.getByTestId('confirm-yes').click()
    await saved.waitFor({ state: 'detached' })
    await page.goto(address)
    await until('its end', () => text(page, 'transitions'), (it) => /resolved/.test(it))
    await page.goto('/alerts')
    await until('no alert of a rule that is gone', () => page.locator('[data-testid=alerts] tr', { hasText: 'Any load' }).count(), (it) => it === 0)
  }))

test('what is often wanted is one click', () =>
  visit('/rules', async (page) => {
    await page.getByTestId('offers').waitFor()
    const offers = page.locator('button[data-testid^=offer-]')
    const before = await offers.count()
    await page.getByTestId('offer-cpu').click()
    await page.locator('[data-testid=rules] tr', { hasText: 'CPU' }).first().waitFor()
    await until('one offer less', () => offers.count(), (it) => it === before - 1)
  }))
