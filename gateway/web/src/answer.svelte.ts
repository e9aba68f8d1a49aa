//! An answer of the gateway that a page shows, asked again after each change.

import { sentence } from './access.ts'

export class Answer<T> {
  value = $state.raw<T | null>(null)
  problem = $state('')

  constructor(readonly ask: () => Promise<T>) {
    void this.again()
  }

  async again(): Promise<void> {
    try {
      this.value = await this.ask()
      this.problem = ''
    } catch (error) {
      this.problem = sentence(error)
    }
  }
}
