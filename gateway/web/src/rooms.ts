//! The pages that are not the watch itself, loaded after the first values.

export { default as AccountPage } from './account/AccountPage.svelte'
export { default as AlertPage } from './alerts/AlertPage.svelte'
export { default as AlertsPage } from './alerts/AlertsPage.svelte'
export { default as HostsPage } from './hosts/HostsPage.svelte'
export { default as ReceiverPage } from './receivers/ReceiverPage.svelte'
export { default as ReceiversPage } from './receivers/ReceiversPage.svelte'
export { default as DefaultsPage } from './rules/DefaultsPage.svelte'
export { default as RulePage } from './rules/RulePage.svelte'
export { default as RulesPage } from './rules/RulesPage.svelte'
export { default as SilencesPage } from './silences/SilencesPage.svelte'
export { default as TeamPage } from './team/TeamPage.svelte'
