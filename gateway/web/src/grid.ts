//! One series on a regular grid that grows to the right as live values come. Pure.

export type Point = number | null

/** Point i stands at `start_s + i * step_s`; average, smallest and largest of what fell into it. */
export interface Grid {
  start_s: number
  step_s: number
  avg: Point[]
  min: Point[]
  max: Point[]
  /** How many values the last point is made of. */
  weight: number
  /** When the last value came; not a number before the first. */
  last_s: number
}

export function emptyGrid(start_s: number, step_s: number): Grid {
  return { start_s, step_s, avg: [], min: [], max: [], weight: 0, last_s: Number.NaN }
}

/** A grid out of history's answer; `interval_s` between samples tells how much the last point weighs. */
export function gridOf(
  answer: { start: string; step_s: number; to: string },
  series: { avg: Point[]; min?: Point[]; max?: Point[] },
  interval_s: number,
): Grid {
  const start_s = Date.parse(answer.start) / 1000
  const { step_s } = answer
  let length = series.avg.length
  while (length > 0 && (series.avg[length - 1] ?? null) === null) length -= 1
  const part = (points: Point[] | undefined): Point[] => (points ?? series.avg).slice(0, length)
  const lastStart_s = start_s + (length - 1) * step_s
  const filled_s = Math.min(step_s, Math.max(0, Date.parse(answer.to) / 1000 - lastStart_s))
  return {
    start_s,
    step_s,
    avg: part(series.avg),
    min: part(series.min),
    max: part(series.max),
    weight: Math.max(1, Math.round(filled_s / interval_s)),
    last_s: length > 0 ? lastStart_s : Number.NaN,
  }
}

/**
 * Takes a live value into its point. Older than the last point: history already has it.
 * A value that comes within two intervals of the last one leaves no gap, even where it skips a point of the grid.
 */
export function add(grid: Grid, time_s: number, value: Point | undefined, interval_s: number): void {
  if (value === null || value === undefined || !Number.isFinite(value)) return
  const index = Math.floor((time_s - grid.start_s) / grid.step_s + 1e-6)
  const last = grid.avg.length - 1
  if (index < last || index < 0) return
  if (index === last) {
    const before = grid.avg[last] ?? null
    const weight = before === null ? 0 : grid.weight
    grid.avg[last] = ((before ?? 0) * weight + value) / (weight + 1)
    grid.min[last] = Math.min(grid.min[last] ?? value, value)
    grid.max[last] = Math.max(grid.max[last] ?? value, value)
    grid.weight = weight + 1
  } else {
    const near = time_s - grid.last_s < 1.75 * interval_s
    const before = grid.avg[last] ?? null
    for (let skipped = last + 1; skipped < index; skipped += 1) {
      const filler = near && before !== null ? (before + value) / 2 : null
      grid.avg.push(filler)
      grid.min.push(filler)
      grid.max.push(filler)
    }
    grid.avg.push(value)
    grid.min.push(value)
    grid.max.push(value)
    grid.weight = 1
  }
  grid.last_s = time_s
}

/** Forgets whole points before a moment. */
export function trim(grid: Grid, from_s: number): void {
  const drop = Math.min(grid.avg.length, Math.floor((from_s - grid.start_s) / grid.step_s))
  if (drop <= 0) return
  grid.avg.splice(0, drop)
  grid.min.splice(0, drop)
  grid.max.splice(0, drop)
  grid.start_s += drop * grid.step_s
}

/** Several grids side by side on one axis, as charts want them: moments, then the points of each. */
export function aligned(grids: (Grid | undefined)[]): { times: number[]; columns: { avg: Point[]; min: Point[]; max: Point[] }[] } {
  const known = grids.filter((grid): grid is Grid => grid !== undefined && grid.avg.length > 0)
  const first = known[0]
  if (!first) return { times: [], columns: grids.map(() => ({ avg: [], min: [], max: [] })) }
  const { step_s } = first
  const start_s = Math.min(...known.map((grid) => grid.start_s))
  const shift = (grid: Grid): number => Math.round((grid.start_s - start_s) / step_s)
  const length = Math.max(...known.map((grid) => shift(grid) + grid.avg.length))
  const spread = (grid: Grid | undefined, points: Point[]): Point[] => {
    const column: Point[] = new Array(length).fill(null)
    if (grid) points.forEach((point, i) => (column[i + shift(grid)] = point))
    return column
  }
  return {
    times: Array.from({ length }, (_, i) => start_s + i * step_s),
    columns: grids.map((grid) => ({
      avg: spread(grid, grid?.avg ?? []),
      min: spread(grid, grid?.min ?? []),
      max: spread(grid, grid?.max ?? []),
    })),
  }
}

/** The shape of a line over the window [from_s, to_s] in a box, broken where values are unknown; for small pictures. */
export function linePath(grid: Grid, from_s: number, to_s: number, box: { width: number; height: number; top: number }): string {
  let path = ''
  let drawing = false
  grid.avg.forEach((value, i) => {
    const x = ((grid.start_s + i * grid.step_s - from_s) / (to_s - from_s)) * box.width
    if (value === null || x < 0 || x > box.width) {
      drawing = false
      return
    }
    const y = box.height - (Math.min(value, box.top) / box.top) * box.height
    const alone = !drawing && (grid.avg[i + 1] ?? null) === null
    path += `${drawing ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}${alone ? 'h.1' : ''}`
    drawing = true
  })
  return path
}
