//! Requests to the gateway as whoever is signed in: the team goes along, a lapsed access cookie is renewed once.

/** One mistake in what was sent: at which field, and what was expected there. */
export interface Mistake {
  field: string
  expected: string
  found: string
}

interface Problem {
  title?: string
  detail?: string
  errors?: Mistake[]
  revision?: number
}

/** An answer that is not the wanted one: what the gateway said, and when to try again. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
    readonly retryAfter_s: number,
    readonly mistakes: Mistake[] = [],
    /** The present revision of what somebody else changed meanwhile. */
    readonly revision: number | null = null,
  ) {
    super(detail)
  }
}

/** When the gateway does not say how long to wait. */
const RETRY_S = 5
const NO_ANSWER = 'The gateway does not answer'

/** The words of a refused answer: problem+json where there is one. */
export async function refusal(response: Response): Promise<Refusal> {
  const problem = (await response.json().catch(() => null)) as Problem | null
  const detail = problem?.detail || problem?.title || `The gateway answered ${response.status}`
  const retry_s = Number(response.headers.get('Retry-After')) || RETRY_S
  return new Refusal(response.status, detail, retry_s, problem?.errors ?? [], problem?.revision ?? null)
}

/** What any failure says to a person. */
export function sentence(error: unknown): string {
  return error instanceof Refusal ? error.detail : NO_ANSWER
}

/** Routes about a person, not about a team. */
const PERSONAL = /^\/(auth|me|teams)(\/|$)/

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'
export type Query = Record<string, string | number>
export interface Ask {
  query?: Query
  body?: object
  signal?: AbortSignal
  headers?: Record<string, string>
}

class Access {
  /** The team that everything is asked for; null before log-in. */
  team: string | null = null
  /** Told when the session is over, for good. */
  onlost: () => void = () => {}
  /** Told of the answer to every renewal. */
  onrenewed: (answer: Response) => void = () => {}
  #renewal: Promise<Response> | null = null

  /** The address of a route, with the team where it belongs to one. */
  address(path: string, query: Query = {}): string {
    const all = { ...query, ...(this.team !== null && !PERSONAL.test(path) ? { team: this.team } : {}) }
    const text = new URLSearchParams(Object.entries(all).map(([key, value]) => [key, String(value)])).toString()
    return `/api/v1${path}${text && `?${text}`}`
  }

  /** Gives an answer of 2xx or throws a [`Refusal`]; a 401 is answered with one renewal and one more try. */
  async answer(method: Method, path: string, ask: Ask = {}): Promise<Response> {
    let response = await this.#send(method, path, ask)
    if (response.status === 401 && !path.startsWith('/auth/')) {
      const renewed = await this.renew()
      if (renewed.ok) response = await this.#send(method, path, ask)
      else if (renewed.status !== 401) throw await refusal(renewed.clone())
      if (response.status === 401) this.onlost()
    }
    if (!response.ok) throw await refusal(response)
    return response
  }

  /** Asks for a new access cookie; many callers at once ask once. */
  renew(): Promise<Response> {
    this.#renewal ??= this.#send('POST', '/auth/refresh', { body: {} })
      .then((response) => {
        if (response.ok) this.onrenewed(response.clone())
        return response
      })
      .finally(() => (this.#renewal = null))
    return this.#renewal
  }

  #send(method: Method, path: string, { query, body, signal, headers }: Ask): Promise<Response> {
    const init: RequestInit = { method, cache: 'no-store', headers: { ...headers, ...(body ? { 'Content-Type': 'application/json' } : {}) } }
    if (body) init.body = JSON.stringify(body)
    if (signal) init.signal = signal
    return fetch(this.address(path, query), init).catch((error) => {
      if (signal?.aborted) throw error
      throw new Refusal(0, NO_ANSWER, RETRY_S)
    })
  }
}

export const access = new Access()
