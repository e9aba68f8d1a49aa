//! What is handed out is shown once, and works until it is taken back; sessions end at once; the audit tells all of it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until, watched } from '../browser.mjs'
import { browserOf, GUEST, logInByHand, OWNER, REFUSED } from './flows.mjs'

const statusWith = (page, token) => page.evaluate((token) => fetch('/api/v1/hosts', { credentials: 'omit', headers: { Authorization: `Bearer ${token}` } }).then((it) => it.status), token)

test('an API token is shown once, works, and is refused once taken back', async () => {
  const context = await browserOf(OWNER)
  await watched(
    context,
    '/account',
    async (page) => {
      await page.getByTestId('make-token').click()
      await page.getByTestId('field-expires_days').fill('400')
      await page.getByTestId('field-name').fill('backup script')
      await page.getByTestId('token-button').click()
      assert.match(await page.getByTestId('mistake-expires_days').innerText(), /1 to 366/)
      await page.getByTestId('field-expires_days').fill('30')
      await page.getByTestId('token-button').click()
      const token = await page.getByTestId('token').innerText()
      await page.keyboard.press('Escape')
      assert.equal(await page.getByTestId('token').innerText(), token, 'Escape does not lose it')
      assert.equal(await statusWith(page, token), 200)
      await page.getByTestId('done').click()
      assert.ok(!(await page.content()).includes(token))
      assert.match(await page.getByTestId('tokens').innerText(), /backup script\s+read.*30 days/s)
      await page.getByTestId('drop-token').click()
      await page.getByTestId('confirm-yes').click()
      await page.getByTestId('tokens').waitFor({ state: 'detached' })
      assert.equal(await statusWith(page, token), 401)
    },
    REFUSED,
  )
  await context.close()
})

test('a reader credential is shown once, can be saved as a file, and revoked', async () => {
  const context = await browserOf(OWNER)
  await watched(
    context,
    '/team/readers',
    async (page) => {
      await page.getByTestId('make-reader').click()
      await page.getByTestId('field-name').fill('Not A Name')
      await page.getByTestId('reader-button').click()
      await page.getByTestId('mistake-name').waitFor()
      await page.getByTestId('field-name').fill('grafana')
      await page.getByTestId('reader-button').click()
      const creds = await page.getByTestId('creds').innerText()
      assert.match(creds, /BEGIN NATS USER JWT.*BEGIN USER NKEY SEED/s)
      assert.match(await page.getByTestId('subject').innerText(), /^public\.v1\.default\./)
      const [file] = await Promise.all([page.waitForEvent('download'), page.getByTestId('download').click()])
      assert.equal(file.suggestedFilename(), 'watchkeeper-default-grafana.creds')
      await page.getByTestId('done').click()
      assert.ok(!(await page.content()).includes('NKEY SEED'))
      await page.getByTestId('drop-reader').click()
      await page.getByTestId('confirm-yes').click()
      await page.getByText('There is none.').waitFor()
    },
    REFUSED,
  )
  await context.close()
})

test('a session that is ended elsewhere leads to log-in by itself, and back', async () => {
  const [here, there] = [await browserOf(OWNER), await browserOf(OWNER)]
  await watched(
    there,
    '/hosts',
    async (other) => {
      await other.getByTestId('hosts-table').waitFor()
      await watched(here, '/account', async (page) => {
        await until('both sessions', () => page.locator('[data-testid=sessions] tbody tr').count(), (it) => it >= 2)
        await page.getByTestId('end-sessions').click()
        await until('this session alone', () => page.locator('[data-testid=sessions] tbody tr').count(), (it) => it === 1)
      })
      await other.getByTestId('log-in-button').waitFor()
      assert.notEqual(await other.getByTestId('why').innerText(), '')
      await logInByHand(other, OWNER)
      await other.getByTestId('hosts-table').waitFor()
      assert.match(other.url(), /\/hosts$/)
    },
    REFUSED,
  )
  await Promise.all([here.close(), there.close()])
})

test('a new password: the old one must be known, the new one is kept to the rules', async () => {
  const context = await browserOf(GUEST)
  const next = 'a quiet tide at dawn'
  let early = ''
  await watched(
    context,
    '/account',
    async (page) => {
      await page.getByTestId('field-current').fill('something else')
      await page.getByTestId('field-new').fill(`with ${GUEST.user} inside`)
      await page.getByTestId('save-password').click()
      assert.match(await page.getByTestId('mistake-new').innerText(), /user name/)
      await page.getByTestId('field-new').fill(next)
      await page.getByTestId('save-password').click()
      await page.getByTestId('mistake-current').waitFor()
      await page.getByTestId('field-current').fill(GUEST.password)
      await page.getByTestId('save-password').click()
      await until('the word that it is changed', () => page.getByTestId('password-said').innerText(), (it) => /Changed/.test(it))
      // The stream tells of the end of the session before the answer comes: no form may stand there that is then lost.
      await page.route('**/auth/logout', async (route) => {
        const answer = await route.fetch()
        await page.getByTestId('log-in-button').waitFor({ timeout: 2000 }).catch(() => {})
        if (await page.getByTestId('log-in-button').isVisible()) early = 'a form to log in on a page that is about to go'
        await route.fulfill({ response: answer })
      })
      await page.getByTestId('log-out').click()
      await page.getByTestId('log-in-button').waitFor()
      assert.equal(early, '')
      await logInByHand(page, { user: GUEST.user, password: next })
      await page.getByTestId('account-link').waitFor()
    },
    REFUSED,
  )
  await context.close()
})

test('the audit tells who did what, filters, shows what changed, and is taken along', async () => {
  const context = await browserOf(OWNER)
  await watched(context, '/team/audit', async (page) => {
    await page.locator('[data-testid=audit] [data-action=host_create]').first().waitFor()
    await page.getByTestId('audit-kind').selectOption('host_change')
    const actions = () => page.locator('[data-testid=audit] tr[data-action]').evaluateAll((rows) => rows.map((it) => it.dataset.action))
    await until('changes of hosts alone', actions, (it) => it.length > 0 && it.every((one) => one === 'host_change'))
    assert.match(await page.getByTestId('audit').innerText(), /kari\s+changed a host/)
    assert.match(page.url(), /kind=host_change/)
    const [file] = await Promise.all([page.waitForEvent('download'), page.getByTestId('audit-export').click()])
    assert.match(file.suggestedFilename(), /\.ndjson$/)
    const text = await (await import('node:fs/promises')).readFile(await file.path(), 'utf8')
    const entries = text.trim().split('\n').map((line) => JSON.parse(line))
    assert.ok(entries.some((it) => it.action === 'host_create' && it.actor === 'kari'))
    assert.ok(!text.includes('wk_') && !text.includes('NKEY SEED'), 'no secret in the audit')
  })
  await context.close()
})
