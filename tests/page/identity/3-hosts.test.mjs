//! A host from its first word to its last: created, enrolled by the very command that is shown, edited by two, deleted.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { row, until, watched } from '../browser.mjs'
import { browserOf, focused, GUEST, OWNER, PAGE_AGENT, PAGE_SCRATCH, REFUSED } from './flows.mjs'

const agents = []
after(() => agents.forEach((it) => it.kill()))

/** Does what the command says, with a folder of this test. */
function run(command, folder) {
  const words = command.replace(/^sudo /, '').split(/\s+/)
  assert.deepEqual(words.slice(0, 2), ['watchkeeper-agent', 'enroll'], command)
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('WATCHKEEPER_')))
  const agent = spawn(PAGE_AGENT, [...words.slice(1), '--dir', join(PAGE_SCRATCH, folder)], { env, stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  agent.stderr.on('data', (bytes) => (said += bytes))
  agents.push(agent)
  return () => said
}
const step = (page) => page.getByTestId('enrolment').getAttribute('data-step')
const configured = (page, host) => page.locator(`[data-testid=configured-host][data-host="${host}"]`)
async function edit(page, host) {
  await configured(page, host).getByTestId('edit-host').click()
  await page.getByTestId('field-name').waitFor()
}

test('a host is created, its command works, and the dialog turns green by itself', async () => {
  const context = await browserOf(OWNER)
  await watched(
    context,
    '/',
    async (page) => {
      await page.getByTestId('add-first').click()
      await until('the focus in the dialog', () => focused(page), (it) => it === 'field-name')
      await page.getByTestId('field-name').fill('Pier 1')
      await page.getByTestId('field-tags').fill('oslo, pier')
      await page.getByTestId('more').click()
      await page.getByTestId('field-id').fill('Not An Id')
      await page.getByTestId('save').click()
      assert.match(await page.getByTestId('mistake-id').innerText(), /a-z/)
      await page.getByTestId('field-id').fill('pier-1')
      await page.getByTestId('field-interval_ms').fill('1')
      await page.getByTestId('save').click()
      const command = await page.getByTestId('command').innerText()
      assert.match(await page.getByTestId('countdown').innerText(), /^[45]:\d\d$/)
      const first = await page.getByTestId('countdown').innerText()
      await until('the time to run', () => page.getByTestId('countdown').innerText(), (it) => it !== first)
      assert.ok(!page.url().includes(command.split(' ').at(-1)), 'no token in the address')
      const said = run(command, 'pier-1')
      await until('green by itself', () => step(page).then((it) => it === 'active' || said()), (it) => it === true)
      await page.getByTestId('enrolled').waitFor()
      await page.getByTestId('done').click()
      assert.equal(await configured(page, 'pier-1').getByTestId('state').innerText(), 'active')
      assert.match(await configured(page, 'pier-1').innerText(), /oslo\s+pier/)
      await page.getByRole('link', { name: 'Fleet' }).click()
      await row(page, 'pier-1').waitFor()
      assert.equal(await row(page, 'pier-1').getByTestId('host-link').innerText(), 'Pier 1')
    },
    REFUSED,
  )
  await context.close()
})

test('a command that ran out says so and gives place to a new one', async () => {
  const context = await browserOf(OWNER)
  await watched(context, '/hosts', async (page) => {
    // Five minutes are three seconds here: only the answer's end is moved.
    await page.route('**/api/v1/hosts?*', async (asked) => {
      if (asked.request().method() !== 'POST') return asked.continue()
      const answer = await asked.fetch()
      const made = await answer.json()
      made.enrolment.expires = new Date(Date.now() + 3000).toISOString()
      return asked.fulfill({ response: answer, json: made })
    })
    await page.getByTestId('add-host').click()
    await page.getByTestId('field-name').fill('Pier 2')
    await page.getByTestId('save').click()
    const first = await page.getByTestId('command').innerText()
    await page.getByTestId('ticket-over').waitFor()
    assert.equal(await page.getByTestId('command').count(), 0)
    await page.getByTestId('new-command').click()
    const second = await page.getByTestId('command').innerText()
    assert.notEqual(second, first)
    assert.equal(await step(page), 'waiting')
    await page.keyboard.press('Escape')
    await page.getByTestId('host-dialog').waitFor({ state: 'detached' })
    assert.equal(await configured(page, 'pier-2').getByTestId('state').innerText(), 'waiting')
  })
  await context.close()
})

test('two who edit one host: the second sees what the first saved, and chooses', async () => {
  const [hers, again] = [await browserOf(OWNER), await browserOf(OWNER)]
  await watched(
    hers,
    '/hosts',
    async (one) => {
      await watched(
        again,
        '/hosts',
        async (two) => {
          await edit(one, 'pier-1')
          await edit(two, 'pier-1')
          await one.getByTestId('field-tags').fill('oslo north')
          await one.getByTestId('save').click()
          await one.getByTestId('host-dialog').waitFor({ state: 'detached' })
          await two.getByTestId('field-tags').fill('bergen')
          await two.getByTestId('save').click()
          assert.match(await two.getByTestId('conflict').innerText(), /Somebody else changed this/)
          assert.equal(await two.getByTestId('conflict-newest').innerText(), 'north oslo')
          assert.equal(await two.getByTestId('conflict-mine').innerText(), 'bergen')
          await two.getByTestId('conflict-take').click()
          assert.equal(await two.getByTestId('field-tags').inputValue(), 'north oslo')
          await two.getByTestId('paused').check()
          await two.getByTestId('save').click()
          for (const page of [one, two]) {
            await until('paused for both', () => configured(page, 'pier-1').getByTestId('state').innerText(), (it) => it === 'paused')
          }
          // The stream may tell of the pause before the answer closes the dialog.
          const button = configured(two, 'pier-1').getByRole('button', { name: 'Edit' })
          await until('the focus to be back where it was', () => button.evaluate((it) => it === document.activeElement), (it) => it)
        },
        REFUSED,
      )
    },
    REFUSED,
  )
  await Promise.all([hers.close(), again.close()])
})

test('a viewer sees how hosts stand, by shape and word, and has nothing to press', async () => {
  const context = await browserOf(GUEST)
  await watched(context, '/hosts', async (page) => {
    await configured(page, 'pier-2').waitFor()
    assert.equal(await page.getByTestId('edit-host').count(), 0)
    await page.goto('/')
    const marks = row(page, 'pier-1').getByTestId('status')
    assert.equal(await marks.getAttribute('aria-label'), 'paused')
    assert.equal(await row(page, 'pier-2').getByTestId('status').getAttribute('aria-label'), 'waiting')
    assert.equal(await row(page, 'pier-1').getByTestId('cpu').innerText(), '–', 'an old value is no value')
    await page.goto('/hosts/pier-2')
    await page.getByTestId('waiting').waitFor()
    assert.equal(await page.getByTestId('edit-host').count(), 0)
  })
  await context.close()
})

test('a deleted host is gone from every page, once that was confirmed', async () => {
  const [hers, his] = [await browserOf(OWNER), await browserOf(GUEST)]
  await watched(his, '/', async (guest) => {
    await row(guest, 'pier-1').waitFor()
    await watched(hers, '/hosts/pier-1', async (owner) => {
      await owner.getByTestId('edit-host').click()
      await owner.getByTestId('delete').click()
      assert.match(await owner.getByTestId('host-dialog').innerText(), /cut off within a second/)
      await owner.getByTestId('delete-yes').click()
      await owner.getByTestId('host-table').waitFor()
      assert.equal(await row(owner, 'pier-1').count(), 0)
    })
    await row(guest, 'pier-1').waitFor({ state: 'detached' })
  })
  await Promise.all([hers.close(), his.close()])
})
