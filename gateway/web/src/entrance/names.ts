//! What a user name may be, as the gateway has it. Pure.

export const NAME_HINT = '1 to 32 of a–z, 0–9, - and _'
const NAME = /^[a-z0-9][a-z0-9_-]{0,31}$/

/** What is wrong with a user name, in a sentence; empty when nothing is. */
export function nameMistake(name: string): string {
  if (NAME.test(name)) return ''
  return name ? 'Small letters a–z, digits, - and _ only, beginning with a letter or digit.' : 'A user name, please.'
}
