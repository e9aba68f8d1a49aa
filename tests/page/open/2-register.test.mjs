//! Where registration is open: whoever comes makes an account and a team, and is the owner of it alone.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { person, row, watched } from '../browser.mjs'

test('a stranger registers, owns a team of their own, and sees nobody else’s hosts', async () => {
  const context = await person()
  await watched(context, '/', async (page) => {
    // Nothing was refused on the way here: that would stand in the browser's console, which is watched.
    await page.getByTestId('to-register').click()
    await page.getByTestId('register-button').click()
    assert.match(await page.getByTestId('mistake-team_name').innerText(), /name for your team/)
    await page.getByTestId('field-user').fill('sindre')
    await page.getByTestId('field-password').fill('seven quiet lighthouses')
    await page.getByTestId('field-team_name').fill('Skerries')
    await page.getByTestId('register-button').click()
    await page.getByTestId('empty-fleet').waitFor()
    assert.equal(await page.getByTestId('team-name').innerText(), 'Skerries')
    assert.equal(await row(page, process.env.PAGE_HOST).count(), 0)
    await page.getByRole('link', { name: 'Team', exact: true }).click()
    await page.getByTestId('members').waitFor()
    assert.match(await page.locator('[data-testid=members] tr[data-user="sindre"]').innerText(), /owner/i)
  })
  await context.close()
})
