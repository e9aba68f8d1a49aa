//! The first visit of all: whoever has the code becomes the owner; afterwards one logs in, out, and comes back.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { person, until, watched } from '../browser.mjs'
import { browserOf, focused, logInByHand, OWNER, PAGE_CODE, REFUSED } from './flows.mjs'

test('a first visitor asks for nothing that is refused', async () => {
  const context = await person()
  await watched(context, '/', async (page) => {
    await page.getByTestId('set-up-button').waitFor()
  })
  await context.close()
})

test('the code, a name and a password make the first owner; every mistake stands at its field', async () => {
  const context = await person()
  await watched(
    context,
    '/',
    async (page) => {
      await page.getByTestId('set-up-button').waitFor()
      assert.equal(await focused(page), 'field-code')
      await page.getByTestId('field-user').fill('Kari N')
      await page.getByTestId('field-password').fill('short')
      await page.getByTestId('set-up-button').click()
      assert.match(await page.getByTestId('mistake-code').innerText(), /code/)
      assert.match(await page.getByTestId('mistake-user').innerText(), /Small letters/)
      assert.match(await page.getByTestId('mistake-password').innerText(), /At least 10 characters/)
      assert.equal(await focused(page), 'field-code', 'the focus is at the first mistake')

      await page.getByTestId('field-code').fill('AAAA-BBBB-CCCC-DDDD')
      await page.getByTestId('field-user').fill(OWNER.user)
      await page.getByTestId('field-password').fill('password123')
      await page.getByTestId('set-up-button').click()
      await page.locator('[data-testid^=mistake-], [data-testid=problem]').first().waitFor()

      await page.getByTestId('field-code').fill(PAGE_CODE)
      await page.getByTestId('field-password').fill('password123')
      await page.getByTestId('set-up-button').click()
      assert.match(await page.getByTestId('mistake-password').innerText(), /common/)
      await page.getByTestId('field-password').fill(OWNER.password)
      await page.getByTestId('field-team_name').fill('Harbour')
      await page.getByTestId('set-up-button').click()
      await page.getByTestId('empty-fleet').waitFor()
      assert.equal(await page.getByTestId('team-name').innerText(), 'Harbour')
      await page.reload()
      await page.getByTestId('empty-fleet').waitFor()
      assert.deepEqual(await page.evaluate(() => [Object.keys(localStorage), Object.keys(sessionStorage), document.cookie]), [[], [], ''])
    },
    REFUSED,
  )
  await context.close()
})

test('who is logged out logs in and is where they were', async () => {
  const context = await person()
  await watched(
    context,
    '/team?kept=1',
    async (page) => {
      await page.getByTestId('log-in-button').waitFor()
      assert.equal(await page.getByTestId('set-up-button').count(), 0, 'the set-up is over for good')
      await logInByHand(page, { user: OWNER.user, password: 'not the one it is' })
      assert.match(await page.getByTestId('problem').innerText(), /user name or the password is wrong/)
      await page.getByTestId('field-password').fill(OWNER.password)
      await page.keyboard.press('Enter')
      await page.getByTestId('members').waitFor()
      assert.match(page.url(), /\/team\?kept=1$/)
      await page.getByTestId('account-link').click()
      await page.getByTestId('log-out').click()
      await page.getByTestId('log-in-button').waitFor()
      assert.deepEqual(await context.cookies(), [])
    },
    REFUSED,
  )
  await context.close()
})

test('a lapsed access cookie is renewed unseen; a lost session leads to log-in and back', async () => {
  const context = await browserOf(OWNER)
  await watched(
    context,
    '/team',
    async (page) => {
      await page.getByTestId('members').waitFor()
      const access = (await context.cookies()).find((it) => it.name.endsWith('wk_access')).name
      await context.clearCookies({ name: access })
      await page.getByRole('link', { name: 'Readers' }).click()
      await page.getByText('There is none.').waitFor()
      assert.ok((await context.cookies()).some((it) => it.name === access), 'a new access cookie')
      await context.clearCookies({ name: access })
      await page.reload()
      await page.getByText('There is none.').waitFor()

      await context.clearCookies()
      await page.getByRole('link', { name: 'Members' }).click()
      await page.getByTestId('log-in-button').waitFor()
      assert.match(await page.getByTestId('why').innerText(), /session/)
      await logInByHand(page, OWNER)
      await page.getByTestId('members').waitFor()
      assert.match(page.url(), /\/team$/)
    },
    REFUSED,
  )
  await context.close()
})

test('two tabs share a session', async () => {
  const context = await browserOf(OWNER)
  await watched(context, '/team', async (one) => {
    await watched(context, '/account', async (two) => {
      await one.getByTestId('members').waitFor()
      await two.getByTestId('sessions').waitFor()
      await Promise.all([one, two].map((page) => page.evaluate(() => fetch('/api/v1/auth/refresh', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{}' }))))
      await Promise.all([one.reload(), two.reload()])
      await one.getByTestId('members').waitFor()
      await until('this session', () => two.locator('[data-testid=sessions] [data-current=true]').count(), (it) => it === 1)
    })
  })
  await context.close()
})
