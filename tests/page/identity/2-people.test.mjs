//! Members: invited by a link, confined to their role at once when it changes; the last owner stays.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { person, until, watched } from '../browser.mjs'
import { browserOf, GUEST, invite, memberRow, OWNER, REFUSED } from './flows.mjs'

test('an invited viewer joins by the link, sees all and changes nothing, until made an admin', async () => {
  const [hers, his] = [await browserOf(OWNER), await person()]
  await watched(
    hers,
    '/team',
    async (owner) => {
      const link = await invite(owner, 'viewer', 'Ida, night shift')
      assert.match(await owner.getByTestId('invitations').innerText(), /Ida, night shift\s+viewer/)
      await watched(
        his,
        link,
        async (guest) => {
          await guest.getByTestId('invitation').waitFor()
          assert.doesNotMatch(guest.url(), /join/, 'the secret has left the address')
          assert.match(await guest.getByTestId('invitation').innerText(), /Join Harbour.*viewer/s)
          await guest.getByTestId('field-user').fill(GUEST.user)
          await guest.getByTestId('field-password').fill(GUEST.password)
          await guest.getByTestId('join-button').click()
          await guest.getByTestId('empty-fleet').waitFor()
          assert.equal(await guest.getByTestId('add-first').count(), 0)
          await guest.getByRole('link', { name: 'Team', exact: true }).click()
          await memberRow(guest, GUEST.user).waitFor()
          for (const forbidden of ['invite', 'rename-team', 'delete-team']) assert.equal(await guest.getByTestId(forbidden).count(), 0, forbidden)
          assert.equal(await guest.locator('[data-testid=members] select').count(), 0)
          assert.equal(await guest.getByRole('link', { name: 'Audit' }).count(), 0)
          assert.equal(await guest.evaluate(() => fetch('/api/v1/hosts?team=default', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"name":"x"}' }).then((it) => it.status)), 403)

          await guest.getByRole('link', { name: 'Hosts', exact: true }).click()
          await guest.getByTestId('empty-fleet').waitFor()
          assert.equal(await guest.getByTestId('add-host').count(), 0)
          await owner.reload()
          await memberRow(owner, GUEST.user).getByTestId('role').selectOption('admin')
          await guest.getByTestId('add-host').waitFor()
          await memberRow(owner, GUEST.user).getByTestId('role').selectOption('viewer')
          await guest.getByTestId('add-host').waitFor({ state: 'detached' })
        },
        REFUSED,
      )
    },
    REFUSED,
  )
  await Promise.all([hers.close(), his.close()])
})

test('a link works once, and a false one says so', async () => {
  const [hers, another] = [await browserOf(OWNER), await person()]
  await watched(hers, '/team', async (owner) => {
    const link = await invite(owner, 'viewer', 'taken back')
    await owner.getByTestId('drop-invitation').click()
    await owner.getByText('None is open.').waitFor()
    await watched(another, link, async (page) => assert.match(await page.getByTestId('invitation-gone').innerText(), /does not hold/), REFUSED)
  })
  await Promise.all([hers.close(), another.close()])
})

test('the last owner can neither step down nor leave, and is told why', async () => {
  const context = await browserOf(OWNER)
  await watched(
    context,
    '/team',
    async (page) => {
      const role = memberRow(page, OWNER.user).getByTestId('role')
      await role.selectOption('viewer')
      assert.match(await page.getByTestId('members-problem').innerText(), /last owner/)
      await until('the role as it is', () => role.inputValue(), (it) => it === 'owner')
      await memberRow(page, OWNER.user).getByTestId('remove-member').click()
      await page.getByTestId('confirm-yes').click()
      assert.match(await page.getByTestId('confirm').getByTestId('problem').innerText(), /last owner/)
      await page.keyboard.press('Escape')
      await page.getByTestId('confirm').waitFor({ state: 'detached' })
      assert.match(await page.evaluate(() => document.activeElement.textContent), /Leave/, 'the focus is back')
    },
    REFUSED,
  )
  await context.close()
})

test('a second team is another page: its own hosts, members and address for everything asked', async () => {
  const context = await browserOf(OWNER)
  await watched(context, '/team', async (page) => {
    await page.getByTestId('new-team').click()
    await page.getByTestId('field-name').fill('Laboratory')
    await page.getByTestId('team-save').click()
    await until('the other team', () => page.getByTestId('team-choice').inputValue(), (it) => it !== '' && it !== 'default')
    const team = await page.getByTestId('team-choice').inputValue()
    const asked = []
    page.on('request', (it) => asked.push(new URL(it.url())))
    await page.getByRole('link', { name: 'Team', exact: true }).click()
    await until('one member', () => page.locator('[data-testid=members] tbody tr').count(), (it) => it === 1)
    const ofTheTeam = asked.filter((it) => it.pathname === '/api/v1/members' || it.pathname === '/api/v1/invitations')
    assert.ok(ofTheTeam.length >= 2 && ofTheTeam.every((it) => it.searchParams.get('team') === team), ofTheTeam.join(' '))
    const [live] = await Promise.all([page.waitForRequest((it) => it.url().includes('/api/v1/live')), page.reload()])
    assert.equal(new URL(live.url()).searchParams.get('team'), team)
    await page.getByTestId('team-choice').selectOption('default')
    await page.getByRole('link', { name: 'Team', exact: true }).click()
    await memberRow(page, GUEST.user).waitFor()
    assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), ['team'])
  })
  await context.close()
})
