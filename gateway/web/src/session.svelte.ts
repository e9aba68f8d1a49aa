//! Who is signed in, for which team, and for how long; nothing of it is kept in the browser but the choice of team.

import { access, Refusal, sentence } from './access.ts'
import type { AuthState, Membership, Person, Role, SignedIn } from './api.ts'
import { auth } from './calls.ts'
import { clock } from './clock.svelte.ts'

/** Renewed so long before its end, and a little at random: not every tab at once. */
const RENEW_EARLY_MS = 60_000
const RENEW_SPREAD_MS = 20_000
const RETRY_MS = 3000
const TEAM_KEY = 'team'
const JOIN = /^#\/join\/([^/]+)$/
const RANK: Record<Role, number> = { viewer: 0, admin: 1, owner: 2 }

/** `asking` until the gateway has said who is signed in; `unreached` while it does not answer. */
export type Stage = 'asking' | 'unreached' | 'set-up' | 'out' | 'in'

/** Why somebody has to log in again, in a sentence. */
const WHY: Record<string, string> = {
  signed_out: 'You have logged out.',
  revoked: 'This session was ended.',
  expired: 'Your session has run out.',
  removed: 'You are no longer a member of that team.',
  password_changed: 'The password was changed: log in with the new one.',
  team_deleted: 'That team is no more.',
}

class Session {
  stage = $state<Stage>('asking')
  user = $state.raw<Person | null>(null)
  teams = $state.raw<Membership[]>([])
  team = $state.raw<Membership | null>(null)
  /** Why one has to log in; empty at a first visit. */
  why = $state('')
  problem = $state('')
  openRegistration = $state(false)
  /** The secret of an invitation link, until it was used or left. */
  invitation = $state<string | null>(null)
  #was = false
  /** From a wish to log out until the page is left: its own end of the session is no news to it. */
  #leaving = false
  #renewal: ReturnType<typeof setTimeout> | undefined

  /** Reads the invitation out of the address, then asks who is signed in. */
  begin(): void {
    access.onlost = () => this.#out('Your session has run out.')
    access.onrenewed = (answer) => void answer.json().then((it: SignedIn) => this.#renewAt(it.access_expires))
    addEventListener('hashchange', () => this.#takeInvitation())
    this.#takeInvitation()
    void this.check('')
  }

  may(role: Role): boolean {
    return this.team !== null && RANK[this.team.role] >= RANK[role]
  }

  /** Asks who is signed in: at the start, and whenever a stream was ended for `reason`. */
  async check(reason: string): Promise<void> {
    if (this.#leaving) return
    try {
      const state = await this.#state()
      if (this.#leaving) return
      this.problem = ''
      this.openRegistration = state.open_registration
      if (state.signed_in && state.user) this.#in(state.user, state.teams ?? [], state.access_expires)
      else if (state.needs_setup) this.stage = 'set-up'
      else this.#out(WHY[reason] ?? reason.replaceAll('_', ' '))
    } catch (error) {
      this.problem = sentence(error)
      if (this.stage === 'asking') this.stage = 'unreached'
      setTimeout(() => void this.check(reason), RETRY_MS)
    }
  }

  /** A lapsed access cookie is renewed where that can succeed. */
  async #state(): Promise<AuthState> {
    const state = await auth.state()
    if (state.signed_in || !state.refreshable || state.needs_setup) return state
    const renewed = await access.renew()
    if (!renewed.ok && renewed.status !== 401) throw new Refusal(renewed.status, 'The gateway cannot renew your session yet', 0)
    return auth.state()
  }

  /** After a log-in. A page that has shown values begins anew: nothing of the one before stays in it. */
  entered(answer: SignedIn, team?: string): void {
    if (team) choose(team)
    if ((this.#was && this.invitation === null) || team) location.replace(location.pathname + location.search)
    else this.#in({ name: answer.user, display_name: answer.display_name }, answer.teams, answer.access_expires)
  }

  /** Another team is another page. */
  turnTo(team: string): void {
    choose(team)
    location.assign('/')
  }

  async logOut(): Promise<void> {
    this.#leaving = true
    try {
      await auth.logOut()
      location.replace('/')
    } catch (error) {
      this.#leaving = false
      throw error
    }
  }

  #in(user: Person, teams: Membership[], expires: string | null | undefined): void {
    if (this.#was && this.invitation === null && this.user?.name !== user.name) return location.reload()
    // A link in a message names its team.
    const linked = new URLSearchParams(location.search).get('team')
    if (!this.team && linked && teams.some((it) => it.team === linked)) choose(linked)
    const wanted = this.team?.team ?? chosen()
    const team = teams.find((it) => it.team === wanted) ?? teams[0] ?? null
    if (this.#was && this.team && team?.team !== this.team.team) return location.replace('/')
    this.user = user
    this.teams = teams
    this.team = team
    access.team = team?.team ?? null
    this.why = ''
    this.#was = true
    this.stage = 'in'
    if (expires) this.#renewAt(expires)
  }

  #out(why: string): void {
    if (this.#leaving) return
    clearTimeout(this.#renewal)
    this.why = why
    this.stage = 'out'
  }

  #renewAt(expires: string): void {
    clearTimeout(this.#renewal)
    const left_ms = Date.parse(expires) - clock.read() - RENEW_EARLY_MS - Math.random() * RENEW_SPREAD_MS
    this.#renewal = setTimeout(() => void access.renew().catch(() => {}), Math.max(1000, left_ms))
  }

  /** The secret leaves the address at once, so that no history and no picture of the screen keeps it. */
  #takeInvitation(): void {
    const [, token] = JOIN.exec(location.hash) ?? []
    if (!token) return
    this.invitation = token
    history.replaceState(history.state, '', location.pathname + location.search)
  }
}

function chosen(): string | null {
  try {
    return localStorage.getItem(TEAM_KEY)
  } catch {
    return null
  }
}

function choose(team: string): void {
  try {
    localStorage.setItem(TEAM_KEY, team)
  } catch {
    // Storage may be forbidden: then the first team is shown.
  }
}

export const session = new Session()
