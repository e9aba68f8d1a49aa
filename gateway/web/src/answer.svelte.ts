//! An answer of the gateway that a page shows, asked again after each change.

import { sentence } from './access.ts'

export class Answer<T> {
  value = $state.raw<T | null>(null)
  problem = $state('')

  #asked = 0

  constructor(readonly ask: () => Promise<T>) {
    void this.again()
  }

  /** Of several questions under way the newest one's answer is shown, whichever comes last. */
  async again(): Promise<void> {
    this.#asked += 1
    const mine = this.#asked
    try {
      const value = await this.ask()
      if (mine === this.#asked) [this.value, this.problem] = [value, '']
    } catch (error) {
      if (mine === this.#asked) this.problem = sentence(error)
    }
  }
}
