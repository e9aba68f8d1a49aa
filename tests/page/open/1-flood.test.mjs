//! A host that floods is marked wherever it stands, by shape and word; `tests/it/page.rs` has the guard hold it off.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { row, THIS_MACHINE, visit } from '../browser.mjs'

test('a host that the guard holds off is flagged in the fleet, among the hosts and on its own page', async () => {
  await visit('/', async (page) => {
    const mark = row(page, THIS_MACHINE).getByTestId('flag')
    await mark.waitFor()
    assert.match(await mark.getAttribute('aria-label'), /held off because it sent too much/)
  })
  await visit('/hosts', async (page) => {
    const host = page.locator(`[data-testid=configured-host][data-host="${THIS_MACHINE}"]`)
    await host.getByText('flagged').waitFor()
  })
  await visit(`/hosts/${THIS_MACHINE}`, async (page) => {
    await page.getByTestId('flagged').waitFor()
    assert.match(await page.getByTestId('flagged').innerText(), /held off|flagged/i)
  })
})
