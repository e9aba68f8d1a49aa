//! A browser's long name for itself as people know it. Pure.

const BROWSERS: [RegExp, string][] = [[/Firefox\//, 'Firefox'], [/Edg\//, 'Edge'], [/OPR\//, 'Opera'], [/Chrome\/|Chromium\//, 'Chrome'], [/Safari\//, 'Safari']]
const SYSTEMS: [RegExp, string][] = [[/Android/, 'Android'], [/iPhone|iPad/, 'iOS'], [/Windows/, 'Windows'], [/Mac OS X/, 'macOS'], [/Linux|X11/, 'Linux']]

/** `Firefox on Linux`; what is no browser says what it is itself. */
export function browserWords(agent: string): string {
  const of = (list: [RegExp, string][]): string => list.find(([sign]) => sign.test(agent))?.[1] ?? ''
  const [browser, system] = [of(BROWSERS), of(SYSTEMS)]
  if (browser && system) return `${browser} on ${system}`
  return browser || agent.split(/[\s/]/)[0] || 'unknown'
}
