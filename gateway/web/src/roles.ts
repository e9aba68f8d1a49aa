//! What each role may do, in the words of a sentence. Pure.

import type { Role } from './api.ts'

export const ROLES: readonly Role[] = ['viewer', 'admin', 'owner']

export const ROLE_WORDS: Record<Role, string> = {
  viewer: 'sees everything of the team and changes nothing',
  admin: 'also adds and changes hosts, invites others, makes reader credentials',
  owner: 'also changes members and the team, and reads the audit',
}
