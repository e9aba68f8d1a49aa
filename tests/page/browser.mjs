//! A real browser at the running system, which sees what a person would not: errors, broken rules, calls elsewhere.

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before } from 'node:test'
import { chromium } from '../../gateway/web/node_modules/playwright-core/index.mjs'

/** What `tests/it/page.rs` tells: the page, who logs in, the host of this machine, where programs are started and killed. */
const { PAGE_URL, PAGE_USER, PAGE_PASSWORD, PAGE_HOST, PAGE_PROGRAMS, WATCHKEEPER_CHROMIUM } = process.env
assert.ok(PAGE_URL && WATCHKEEPER_CHROMIUM, 'started by `cargo test --test it page`')
export const THIS_MACHINE = PAGE_HOST

/** A test that waits longer has failed; what it waited for is told. */
const PATIENCE_MS = 20_000
const LOOK_EVERY_MS = 50
/** What a browser says of its own accord when a server is away, or refuses something. */
const AWAY = /^Failed to load resource/

let browser
before(async () => {
  browser = await chromium.launch({ executablePath: WATCHKEEPER_CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] })
})
after(() => browser?.close())

/** Somebody's browser: cookies of its own, kept until it is closed. */
export async function person(options = {}) {
  return browser.newContext({ viewport: { width: 1280, height: 800 }, baseURL: PAGE_URL, ...options })
}

export async function logIn(context, user, password) {
  const answer = await context.request.post('/api/v1/auth/login', { data: { user, password } })
  assert.equal(answer.status(), 200, await answer.text())
}

/** One log-in for all visits of a file: whoever logs in often waits. */
let session
async function ofTheOwner(options) {
  if (!PAGE_USER || options.storageState) return options
  if (!session) {
    const context = await person()
    await logIn(context, PAGE_USER, PAGE_PASSWORD)
    session = await context.storageState()
    await context.close()
  }
  return { ...options, storageState: session }
}

/** Opens a page as the owner for one test and closes it; fails if something went wrong that nobody sees. */
export async function visit(path, look, { outage = false, ...options } = {}) {
  const context = await person(await ofTheOwner(options))
  try {
    await watched(context, path, look, { outage })
  } finally {
    await context.close()
  }
}

/** Opens a page in somebody's browser; `outage` forgives what a browser says when a server is away or refuses. */
export async function watched(context, path, look, { outage = false } = {}) {
  const page = await context.newPage()
  page.setDefaultTimeout(PATIENCE_MS)
  const wrong = []
  page.on('pageerror', (error) => wrong.push(`error: ${error.message}`))
  page.on('console', (it) => {
    const said = ['error', 'warning'].includes(it.type()) && !(outage && AWAY.test(it.text()))
    if (said) wrong.push(`console ${it.type()}: ${it.text()}`)
  })
  page.on('request', (it) => new URL(it.url()).origin === PAGE_URL || wrong.push(`left the origin: ${it.url()}`))
  page.on('dialog', (it) => (wrong.push(`dialog: ${it.message()}`), it.dismiss()))
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (it) => console.error(`policy: ${it.violatedDirective} ${it.blockedURI}`))
  })
  try {
    await page.goto(path)
    await look(page)
  } finally {
    await page.close()
  }
  assert.deepEqual(wrong, [])
}

/** Looks until the condition holds; tells what was seen last. */
export async function until(what, see, holds = Boolean) {
  const deadline = Date.now() + PATIENCE_MS
  for (;;) {
    const seen = await see()
    if (holds(seen)) return seen
    assert.ok(Date.now() < deadline, `waited for ${what}; saw ${JSON.stringify(seen)}`)
    await new Promise((done) => setTimeout(done, LOOK_EVERY_MS))
  }
}

/** Keeps a picture of the page for the documents, where a folder for them is named. */
export async function picture(page, name) {
  const folder = process.env.WATCHKEEPER_PICTURES
  if (folder) await page.screenshot({ path: `${folder}/${name}.png` })
}

/** Waits for the text of an element to become another. */
export async function changes(what, element) {
  const first = await element.innerText()
  await until(`${what} to change`, () => element.innerText(), (now) => now !== first && now.trim() !== '–')
}

export const row = (page, host) => page.locator(`[data-testid=host-row][data-host="${host}"]`)
export const freshness = (page) => page.getByTestId('freshness')
export const phase = (page, wanted) => until(`the page to be ${wanted}`, () => freshness(page).getAttribute('data-phase'), (it) => it === wanted)

/** Makes a receiver of Telegram whose name is its id, so that something may name it; with it there already, none. */
export async function receiver(page, name) {
  const status = await page.evaluate(async (name) => {
    const known = await (await fetch('/api/v1/receivers')).json()
    if (known.items.some((it) => it.id === name)) return 201
    const body = JSON.stringify({ name, channel: { type: 'telegram' } })
    return (await fetch('/api/v1/receivers', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body })).status
  }, name)
  assert.equal(status, 201, `the receiver ${name}`)
}

/** Chooses a receiver by its name; `where` as the page calls the choice. */
export async function chooseReceiver(page, where, name) {
  const add = page.getByTestId(`${where}-add`)
  await add.waitFor()
  const value = await add.locator('option', { hasText: `${name} ·` }).getAttribute('value')
  await add.selectOption(value)
}

/** `kill gateway`, `start questdb`, `fact {…}` (as the notifier records one): returns when it is done. */
export function programs(order) {
  const [hostname, port] = PAGE_PROGRAMS.split(':')
  return new Promise((done, failed) => {
    let answer = ''
    connect(Number(port), hostname, function () { this.write(`${order}\n`) })
      .on('data', (bytes) => (answer += bytes))
      .on('end', () => (answer.trim() === 'done' ? done() : failed(new Error(`${order}: ${answer}`))))
      .on('error', failed)
  })
}
