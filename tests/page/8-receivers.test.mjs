//! Who is told: made by channel, linked, tested, named, changed, removed; secrets are typed and never read again.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseReceiver, picture, programs, until, visit } from './browser.mjs'

const text = (page, id) => page.getByTestId(id).innerText()
const PHONE = { viewport: { width: 390, height: 844 } }
const rowOf = (page, name) => page.locator('[data-testid=receivers] tr', { hasText: name })
/** As Telegram's double calls the bot of the token. */
const BOT = `watch_${process.env.PAGE_BOT_TOKEN.split(':')[0]}_bot`
const SECRET = 'https://127.0.0.1:9/never-to-be-read-again'

/** Begins a receiver by its channel. */
async function begin(page, channel, name) {
  await page.goto('/receivers')
  await page.getByTestId('make-receiver').click()
  await page.getByTestId('field-name').fill(name)
  await page.getByTestId(`channel.type-${channel}`).check()
}

test('a webhook is made by a form that says what is wrong, and its key is shown once', () =>
  visit('/receivers', async (page) => {
    await begin(page, 'webhook', 'Pager')
    await page.getByTestId('field-channel.url').fill('ftp://example.org')
    await page.getByTestId('save-receiver').click()
    await until('what is wrong with the URL', () => text(page, 'mistake-channel.url'), (it) => /https:\/\//.test(it))
    await picture(page, 'receivers-1-mistake')
    await page.getByTestId('field-channel.url').fill(SECRET)
    await page.getByTestId('save-receiver').click()
    const key = await text(page, 'signing-key')
    assert.equal(key.length, 43)
    await picture(page, 'receivers-2-key')
    await page.getByTestId('have-key').click()
    await until('its page', () => page.url(), (it) => it.endsWith('/receivers/pager'))
    await page.getByRole('heading', { name: 'Pager' }).waitFor()
    assert.match(await text(page, 'receiver-state'), /never tried/)
    assert.match(await text(page, 'named-by'), /nobody/)
    const shown = await page.content()
    for (const secret of [key, 'never-to-be-read-again']) assert.ok(!shown.includes(secret), 'a secret is shown again')
  }, { outage: true }))

test('a test says what the channel answers, or that nobody has sent it yet', () =>
  visit('/receivers/pager', async (page) => {
    await page.getByTestId('test-receiver').click()
    await until('where the test is', () => text(page, 'test-result'), (it) => /on its way|No notifier|failed|arrived/.test(it))
    const log = page.locator('[data-testid=notices] tr', { hasText: 'test' })
    await until('the test in the log', () => log.count(), (it) => it === 1)
    await picture(page, 'receivers-3-test')
  }))

test('e-mail, ntfy and chat rooms are made by their own forms, and a secret that is left out stays', () =>
  visit('/receivers', async (page) => {
    await begin(page, 'email', 'Mail')
    await page.getByTestId('field-channel.to').fill('ops@example.org, boss@example.org')
    await page.getByTestId('field-channel.from').fill('watch@example.org')
    await page.getByTestId('field-channel.server').fill('mail.example.org')
    await page.getByTestId('channel.security-start_tls').check()
    assert.equal(await page.getByTestId('field-channel.port').inputValue(), '587')
    await page.getByTestId('field-channel.user').fill('watch')
    await page.getByTestId('save-receiver').click()
    await until('the password that is missing', () => text(page, 'mistake-channel.password'))
    await page.getByTestId('field-channel.password').fill('pass-word-91')
    await picture(page, 'receivers-4-mail')
    await page.getByTestId('save-receiver').click()
    await page.getByRole('heading', { name: 'Mail' }).waitFor()
    await page.getByTestId('edit-receiver').click()
    assert.equal(await page.getByTestId('field-channel.password').inputValue(), '')
    await page.getByTestId('field-channel.to').fill('ops@example.org')
    await page.getByTestId('save-receiver').click()
    await page.getByTestId('receiver-dialog').waitFor({ state: 'detached' })
    await page.getByTestId('edit-receiver').click()
    await page.getByTestId('field-channel.server').fill('other.example.org')
    await page.getByTestId('save-receiver').click()
    await until('that it is asked for again', () => text(page, 'mistake-channel.password'), (it) => /again/.test(it))

    await begin(page, 'ntfy', 'Phones')
    await page.getByTestId('field-channel.topic').fill('ops-x7')
    await page.getByTestId('save-receiver').click()
    await page.getByRole('heading', { name: 'Phones' }).waitFor()
    await begin(page, 'chatroom', 'Room')
    await page.getByTestId('channel.form-discord').check()
    await page.getByTestId('field-channel.url').fill('https://discord.example.org/api/webhooks/1/secret')
    await page.getByTestId('save-receiver').click()
    await page.getByRole('heading', { name: 'Room' }).waitFor()
    await page.goto('/receivers')
    await rowOf(page, 'Phones').waitFor()
    assert.match(await rowOf(page, 'Phones').innerText(), /ops-x7 on ntfy\.sh/)
    assert.match(await rowOf(page, 'Mail').innerText(), /ops@example\.org by mail\.example\.org/)
    await picture(page, 'receivers-5-list')
  }, { outage: true }))

test('without a bot there is no link; the team sets one, and its token is never shown', () =>
  visit('/receivers', async (page) => {
    await begin(page, 'telegram', 'On call')
    await page.getByTestId('save-receiver').click()
    await page.getByTestId('link').click()
    await page.getByTestId('make-link').click()
    await until('that no bot is known', () => text(page, 'problem'), (it) => /no Telegram bot/.test(it))
    await picture(page, 'receivers-6-no-bot')
    await page.keyboard.press('Escape')
    assert.match(await text(page, 'receiver-state'), /not linked/)

    await page.goto('/receivers')
    await page.getByTestId('set-bot').click()
    await page.getByTestId('field-token').fill('hello')
    await page.getByTestId('save-bot').click()
    await until('what is wrong with it', () => text(page, 'mistake-token'), (it) => /BotFather/.test(it))
    const token = process.env.PAGE_BOT_TOKEN
    await page.getByTestId('field-token').fill(token)
    await page.getByTestId('save-bot').click()
    await until('whose it is', () => page.getByTestId('bot-state').getAttribute('data-serving'), (it) => it === 'own')
    await until('the bot, as Telegram calls it', () => text(page, 'bot-state'), (it) => it.includes(`@${BOT}`))
    assert.ok(!(await page.content()).includes(token))
  }, { outage: true }))

test('a chat is linked by a link that is good once, and the page says so by itself', () =>
  visit('/receivers/on-call', async (page) => {
    await page.getByTestId('link').click()
    await page.getByTestId('make-link').click()
    const url = new URL(await text(page, 'link-url'))
    assert.equal(url.origin + url.pathname, `https://t.me/${BOT}`)
    assert.match(url.searchParams.get('start'), /^[A-Za-z0-9_-]{43}$/)
    await page.getByTestId('link-waiting').waitFor()
    await picture(page, 'receivers-7-link')
    await programs(`say ${JSON.stringify({ text: `/start ${url.searchParams.get('start')}`, title: 'Olga <b>O</b>' })}`)
    await until('the chat, without a reload', () => text(page, 'linked'), (it) => it.includes('Linked with Olga <b>O</b>'))
    await picture(page, 'receivers-8-linked')
    await page.getByTestId('link-done').click()
    assert.match(await text(page, 'chat'), /Olga <b>O<\/b>.*linked by/s)
    await page.getByTestId('test-receiver').click()
    await until('that the test arrived', () => text(page, 'test-result'), (it) => /arrived|delivered/i.test(it))
    await programs('block chat')
    await page.getByTestId('test-receiver').click()
    await until('what is refused', () => page.getByTestId('receiver-state').locator('..').innerText(), (it) => /refused.*blocked by the user/s.test(it))
    await picture(page, 'receivers-9-refused')

    // News does not take away what somebody is typing.
    await page.getByTestId('edit-receiver').click()
    await page.getByTestId('field-name').fill('On call, at night')
    await programs(`fact ${JSON.stringify({ kind: 'receiver_failure', id: 'on-call', value: { answer: '403 Forbidden: another reason', revision: Number.MAX_SAFE_INTEGER } })}`)
    await until('the other reason', () => page.getByTestId('receiver-state').locator('..').innerText(), (it) => /refused.*another reason/s.test(it))
    assert.equal(await page.getByTestId('field-name').inputValue(), 'On call, at night')
    await page.keyboard.press('Escape')
    await page.getByTestId('unlink').click()
    await page.getByTestId('confirm-yes').click()
    await until('that no chat is linked', () => text(page, 'receiver-state'), (it) => /not linked/.test(it))
  }, { outage: true }))

test('a bot that is removed serves no more', () =>
  visit('/receivers', async (page) => {
    await page.getByTestId('remove-bot').click()
    await page.getByTestId('confirm-yes').click()
    await until('that it is gone', () => page.getByTestId('bot-state').getAttribute('data-serving'), (it) => it !== 'own')
  }))

test('who is named is chosen by name, and what names a receiver is said before it goes', () =>
  visit('/rules', async (page) => {
    await page.getByTestId('make-rule').click()
    await page.getByTestId('field-name').fill('Named')
    await page.getByTestId('rule-text').fill('swap.used_pct > 99')
    await chooseReceiver(page, 'receivers', 'Pager')
    await page.getByTestId('add-step').click()
    await chooseReceiver(page, 'step-receivers-1', 'Mail')
    await picture(page, 'receivers-10-rule')
    await page.getByTestId('save-rule').click()
    await page.locator('[data-testid=rules] tr', { hasText: 'Named' }).getByRole('link').click()
    await until('names, not ids', () => page.locator('main').innerText(), (it) => /Receivers\s+Pager/.test(it) && /Mail at once/.test(it))
    await page.goto('/receivers/pager')
    await until('the rule', () => text(page, 'named-by'), (it) => /Named/.test(it))
    await page.getByTestId('remove-receiver').click()
    assert.match(await text(page, 'confirm'), /1 rule names it: Named/)
    await picture(page, 'receivers-11-remove')
    await page.getByTestId('confirm-yes').click()
    await until('the list', () => page.url(), (it) => it.endsWith('/receivers'))
    await rowOf(page, 'Mail').waitFor()
    assert.equal(await rowOf(page, 'Pager').count(), 0)
    await page.goto('/rules/named')
    await until('that it is gone', () => page.locator('main').innerText(), (it) => /pager \(removed\)/.test(it))
  }))

test('an edit of what somebody else changed meanwhile is refused, and says so', () =>
  visit('/receivers/phones', async (page) => {
    await page.getByTestId('edit-receiver').click()
    await page.getByTestId('field-name').fill('My phones')
    const status = await page.evaluate(async () => {
      const { revision } = await (await fetch('/api/v1/receivers/phones')).json()
      const body = JSON.stringify({ name: 'Their phones', channel: { type: 'ntfy', server: 'https://ntfy.sh', topic: 'ops-x7' }, revision })
      return (await fetch('/api/v1/receivers/phones', { method: 'PUT', headers: { 'Content-Type': 'application/json' }, body })).status
    })
    assert.equal(status, 200)
    await until('the other change', () => page.locator('main h1').innerText(), (it) => it === 'Their phones')
    await page.getByTestId('save-receiver').click()
    await until('that it is refused', () => text(page, 'problem'), (it) => /Somebody else/.test(it))
  }, { outage: true }))

test('by keyboard alone a receiver is chosen, and taken away', () =>
  visit('/who-hears', async (page) => {
    await page.getByTestId('receivers-add').focus()
    await page.keyboard.type('Mail')
    await page.keyboard.press('Enter')
    const mail = page.locator('[data-testid=receivers] [data-receiver=mail]')
    await mail.waitFor()
    await mail.getByRole('button').focus()
    await page.keyboard.press('Enter')
    await mail.waitFor({ state: 'detached' })
  }))

test('a link in a message leads to its team, whichever was looked at last', () =>
  visit('/', async (page) => {
    const ask = (method, path, body) =>
      page.evaluate(async ([method, path, body]) => {
        const answer = await fetch(path, { method, headers: { 'Content-Type': 'application/json' }, ...(body ? { body } : {}) })
        return { status: answer.status, text: await answer.text() }
      }, [method, path, body && JSON.stringify(body)])
    const made = await ask('POST', '/api/v1/teams', { name: 'Other people' })
    assert.equal(made.status, 201, made.text)
    const team = JSON.parse(made.text)
    const choice = page.getByTestId('team-choice').first()
    await page.goto(`/alerts?team=${team.team}`)
    await until('the team of the link', () => choice.inputValue(), (it) => it === team.team)
    await page.goto('/alerts?team=default')
    await until('the other team', () => choice.inputValue(), (it) => it === 'default')
    await page.goto('/alerts?team=nobodys')
    await until('the team of before', () => choice.inputValue(), (it) => it === 'default')
    const removed = await ask('DELETE', `/api/v1/team?team=${team.team}`, { revision: team.revision, confirm: team.team })
    assert.equal(removed.status, 204, removed.text)
  }, { outage: true }))

for (const colorScheme of ['light', 'dark']) {
  test(`on a phone receivers fit (${colorScheme})`, () =>
    visit('/receivers', async (page) => {
      for (const path of ['/receivers', '/receivers/mail', '/receivers/on-call', '/who-hears']) {
        await page.goto(path)
        await page.locator('main table, main form, main dl').first().waitFor()
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
        await picture(page, `receivers-phone-${colorScheme}${path.replaceAll('/', '-')}`)
        assert.ok(wide <= 0, `${path} is ${wide} px too wide for a phone`)
      }
      await page.goto('/receivers')
      await page.getByTestId('make-receiver').click()
      await page.getByTestId('channel.type-email').check()
      await picture(page, `receivers-phone-${colorScheme}-form`)
    }, { ...PHONE, colorScheme }))
}
