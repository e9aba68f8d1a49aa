//! When a meter stops being quiet, in percent. Until rules exist these only tint; they notify nobody.

export const BUSY = { warn: 85, critical: 95 }
export const FULL = { warn: 85, critical: 92 }

export type Level = 'calm' | 'warn' | 'critical'

export function level(value: number | null | undefined, limits: { warn: number; critical: number }): Level {
  if (value === null || value === undefined || value < limits.warn) return 'calm'
  return value < limits.critical ? 'warn' : 'critical'
}
