//! The rule editor says what a rule would have done before it is saved, and what an edit would change.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { picture, THIS_MACHINE, until, visit } from './browser.mjs'

const text = (page, id) => page.getByTestId(id).innerText()

test('a rule is tried over the past as a timeline, an edit beside what is saved, and a long trial can be given up', () =>
  visit('/rules', async (page) => {
    await page.getByTestId('make-rule').click()
    await page.getByTestId('field-name').fill('Tried')
    assert.ok(await page.getByTestId('backtest-run').isDisabled(), 'there is nothing to try yet')
    await page.getByTestId('rule-text').fill('cpu.usage_pct >= 0')
    await page.getByTestId('backtest-1h').click()
    await page.getByTestId('backtest-run').click()
    await until('what it would have done', () => text(page, 'backtest-summary'), (it) => /\d+ episodes? on [1-9]\d* of /.test(it))
    await page.locator('[data-testid=backtest-timeline]', { hasText: THIS_MACHINE }).waitFor()
    await picture(page, 'alerts-5-backtest')
    await page.getByTestId('rule-text').fill('cpu.usage_pct > 100')
    await page.getByText('The rule was edited since').waitFor()
    await page.getByTestId('backtest-run').click()
    await until('no episode, and who came closest', () => text(page, 'backtest-summary'), (it) => it.startsWith('No episode') && it.includes('Nearest miss'))
    await page.getByTestId('save-rule').click()

    const saved = page.locator('[data-testid=rules] tr', { hasText: 'Tried' })
    await saved.getByTestId('edit-rule').click()
    await page.getByTestId('rule-text').fill('cpu.usage_pct >= 0')
    await page.getByTestId('backtest-1h').click()
    await page.getByTestId('backtest-run').click()
    await until('what the edit changes', () => text(page, 'backtest-summary'), (it) => /The edit adds \d+ episodes? and drops 0/.test(it))
    await picture(page, 'alerts-6-backtest-edit')
    await page.getByTestId('backtest-7d').click()
    await page.getByTestId('backtest-run').click()
    await page.getByTestId('backtest-cancel').click()
    await page.getByTestId('backtest-run').waitFor()
    assert.equal(await page.getByTestId('backtest-problem').count(), 0)
    await page.keyboard.press('Escape')
    await saved.getByTestId('remove-rule').click()
    await page.getByTestId('confirm-yes').click()
    await saved.waitFor({ state: 'detached' })
  }))
