//! The pictures of how people, hosts and credentials come in, made from a new system that nobody owns yet:
//! node gateway/web/dev/identity.mjs http://127.0.0.1:7171 <code of the first owner> <watchkeeper-agent> docs

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const [base, code, agentProgram, folder] = process.argv.slice(2)
if (!base || !code || !agentProgram || !folder) throw new Error('node gateway/web/dev/identity.mjs <address> <code> <watchkeeper-agent> <folder>')

const browser = await chromium.launch({ executablePath: process.env.WATCHKEEPER_CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] })
const person = () => browser.newPage({ baseURL: base, viewport: { width: 1280, height: 800 }, colorScheme: 'light' })
/** A moment, so that nothing is half drawn. */
async function picture(page, name) {
  await page.evaluate(() => new Promise((done) => setTimeout(done, 400)))
  await page.screenshot({ path: join(folder, `identity-${name}.png`) })
}
const scratch = mkdtempSync(join(tmpdir(), 'watchkeeper-'))
let agent
try {
  const owner = await person()
  await owner.goto('/')
  await owner.getByTestId('field-code').fill(code)
  await owner.getByTestId('field-user').fill('kari')
  await owner.getByTestId('field-password').fill('a lantern on the pier')
  await owner.getByTestId('field-team_name').fill('Harbour')
  await picture(owner, '01-set-up')
  await owner.getByTestId('set-up-button').click()
  await owner.getByTestId('add-first').waitFor()
  await picture(owner, '02-empty-fleet')

  await owner.getByTestId('add-first').click()
  await owner.getByTestId('field-name').fill('pier-1')
  await owner.getByTestId('field-tags').fill('oslo pier')
  await picture(owner, '03-add-host')
  await owner.getByTestId('more').click()
  await owner.getByTestId('field-interval_ms').fill('2')
  await owner.getByTestId('save').click()
  const command = await owner.getByTestId('command').innerText()
  await picture(owner, '04-command')
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('WATCHKEEPER_')))
  agent = spawn(agentProgram, [...command.replace(/^sudo /, '').split(/\s+/).slice(1), '--dir', scratch], { env, stdio: 'ignore' })
  await owner.getByTestId('enrolled').waitFor()
  await picture(owner, '05-green')
  await owner.getByTestId('done').click()

  await owner.goto('/team')
  await owner.getByTestId('invite').click()
  await owner.getByTestId('field-note').fill('Ida, night shift')
  await picture(owner, '06-invite')
  await owner.getByTestId('invite-button').click()
  const link = await owner.getByTestId('invitation-link').innerText()
  await owner.getByTestId('done').click()
  const guest = await person()
  await guest.goto(link)
  await guest.getByTestId('field-user').fill('ida')
  await guest.getByTestId('field-password').fill('the gulls are asleep')
  await picture(guest, '07-join')
  await guest.getByTestId('join-button').click()
  await guest.getByTestId('host-row').waitFor()
  await picture(guest, '08-viewer')

  await owner.goto('/team')
  await owner.getByTestId('members').waitFor()
  await picture(owner, '09-members')
  await owner.goto('/team/readers')
  await owner.getByTestId('make-reader').click()
  await owner.getByTestId('field-name').fill('grafana')
  await owner.getByTestId('reader-button').click()
  // Of the credential itself a picture shows its frame only.
  await owner.getByTestId('creds').evaluate((it) => (it.textContent = it.textContent.replace(/^[\w.-]{20,}$/gm, '…')))
  await picture(owner, '10-reader')
  await owner.getByTestId('done').click()
  await owner.goto('/account')
  await owner.getByTestId('sessions').waitFor()
  await picture(owner, '11-account')
  await owner.goto('/team/audit')
  await owner.locator('[data-action=enrol]').first().waitFor()
  await picture(owner, '12-audit')
} finally {
  agent?.kill()
  await browser.close()
  rmSync(scratch, { recursive: true, force: true })
}
