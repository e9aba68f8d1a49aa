//! One attempt to send a form: under way, what went wrong as a whole, and what at which field.

import { type Mistake, Refusal, sentence } from '../access.ts'

function words({ expected, found }: Mistake): string {
  const wanted = expected ? `Expected ${expected}` : 'Not accepted'
  return found ? `${wanted}; found “${found}”.` : `${wanted}.`
}

export class Attempt {
  busy = $state(false)
  /** What went wrong and belongs to no field of this form; empty when nothing did. */
  problem = $state('')
  /** By field. */
  mistakes = $state.raw<Record<string, string>>({})
  /** Grows with every failure, so that the form can lead there. */
  failures = $state(0)

  /** `fields` are those of the form, named as the API names them. */
  constructor(readonly fields: readonly string[] = []) {}

  /** Does the work, one at a time; whatever it throws is told at its place. True when it succeeded. */
  async run(work: () => Promise<void>): Promise<boolean> {
    if (this.busy) return false
    this.busy = true
    this.clear()
    try {
      await work()
      return true
    } catch (error) {
      this.#tell(error)
      return false
    } finally {
      this.busy = false
    }
  }

  clear(): void {
    this.problem = ''
    this.mistakes = {}
  }

  /** Says what this page itself has found, before anything is sent. */
  refuse(mistakes: Record<string, string>): void {
    this.problem = ''
    this.mistakes = mistakes
    this.failures += 1
  }

  #tell(error: unknown): void {
    const all = error instanceof Refusal ? error.mistakes : []
    const place = (field: string): string => (this.fields.includes(field) ? field : root(field))
    const here = all.filter((it) => this.fields.includes(place(it.field)))
    const elsewhere = all.filter((it) => !here.includes(it))
    this.mistakes = Object.fromEntries(here.map((it) => [place(it.field), words(it)]))
    if (here.length === 0) this.problem = [sentence(error), ...elsewhere.map((it) => `${it.field}: ${words(it)}`)].join(' ')
    else this.problem = elsewhere.map((it) => `${it.field}: ${words(it)}`).join(' ')
    if (error instanceof Refusal && error.status === 429) this.problem = `${sentence(error)} Try again in ${error.retryAfter_s} s.`
    this.failures += 1
  }
}

/** `tags[2]` and `tags.2` belong to the field `tags`. */
function root(field: string): string {
  return /^[^.[]*/.exec(field)?.[0] ?? field
}
