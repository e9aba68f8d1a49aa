//! People of the tests in `identity/`: who they are, and what each does again and again.

import assert from 'node:assert/strict'
import { logIn, person } from '../browser.mjs'

/** The code of the first owner, and the agent that is enrolled; `tests/it/page.rs` tells both. */
export const { PAGE_CODE, PAGE_AGENT, PAGE_SCRATCH } = process.env
assert.ok(PAGE_CODE && PAGE_AGENT && PAGE_SCRATCH, 'started by `cargo test --test it page`')

export const OWNER = { user: 'kari', password: 'a lantern on the pier' }
export const GUEST = { user: 'ida', password: 'the gulls are asleep' }
/** Refusals are part of these tests: the browser may say so. */
export const REFUSED = { outage: true }

/** A browser in which somebody is logged in. */
export async function browserOf({ user, password }) {
  const context = await person()
  await logIn(context, user, password)
  return context
}

export async function logInByHand(page, { user, password }) {
  await page.getByTestId('field-user').fill(user)
  await page.getByTestId('field-password').fill(password)
  await page.getByTestId('log-in-button').click()
}

/** Invites as the page of an owner does, and gives the link. */
export async function invite(page, role, note) {
  await page.getByTestId('invite').click()
  await page.getByTestId(`role-${role}`).check()
  await page.getByTestId('field-note').fill(note)
  await page.getByTestId('invite-button').click()
  const link = await page.getByTestId('invitation-link').innerText()
  await page.getByTestId('done').click()
  return link
}

export const focused = (page) => page.evaluate(() => document.activeElement?.dataset.testid ?? '')
export const memberRow = (page, user) => page.locator(`[data-testid=members] tr[data-user="${user}"]`)
