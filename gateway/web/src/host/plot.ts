//! How a chart looks: three grid lines, a min–max band, the average as a line, gaps left open.

import uPlot from 'uplot'
import { clockTime } from '../format.ts'
import type { Chart } from './charts.ts'

const HEIGHT_PX = 118
/** A line of names below the plot takes its room from the plot: every chart is as tall as its neighbours. */
export const LEGEND_PX = 24
const AXIS_PX = 42
/** Windows shorter than this may have labels with seconds, which are wider. */
const SECONDS_SHOWN_S = 240
const COLOURS = ['--chart', '--chart-2', '--chart-3', '--chart-4', '--chart-5', '--chart-6']
/** With more lines, bands would hide each other. */
const BAND_LINES_MAX = 2

export function colour(index: number): string {
  return `var(${COLOURS[index % COLOURS.length]})`
}

/** What a canvas needs to know of a colour that depends on the scheme. */
function resolved(probe: HTMLElement, name: string): string {
  probe.style.color = `var(${name})`
  const value = getComputedStyle(probe).color
  probe.style.color = ''
  return value
}

export function plotHeight(chart: Chart): number {
  return chart.listed ? HEIGHT_PX - LEGEND_PX : HEIGHT_PX
}

/** 1, 2, 4, 6, 8, 10, 20 …: a top whose half is a plain number too. */
export function niceTop(value: number, least: number): number {
  const wanted = Math.max(value, least)
  const power = 10 ** Math.floor(Math.log10(wanted))
  const step = [1, 2, 4, 6, 8, 10].find((it) => it * power >= wanted * 0.999) ?? 10
  return step * power
}

function yRange(chart: Chart, low: number | null, high: number | null): [number, number] {
  if (chart.scale === 'percent') return [0, 100]
  if (chart.scale === 'zero') return [0, niceTop(high ?? 0, chart.unit === 'count' ? 1 : 1000)]
  const bottom = Math.floor((low ?? 0) / 10 - 0.2) * 10
  const top = Math.ceil((high ?? 50) / 10 + 0.2) * 10
  return [bottom, top + ((top - bottom) % 20)]
}

/** Axis numbers stand without their unit: the heading has it. */
function axisWord(value: number): string {
  if (value >= 1e9) return `${value / 1e9} G`
  if (value >= 1e6) return `${value / 1e6} M`
  if (value >= 1e3) return `${value / 1e3} k`
  return String(Math.round(value * 100) / 100)
}

/** A lone value between gaps has no line: it is shown as a point. */
function lonePoints(plot: uPlot, series: number): number[] {
  const values = plot.data[series] ?? []
  const lone: number[] = []
  values.forEach((value, i) => {
    if (value != null && values[i - 1] == null && values[i + 1] == null) lone.push(i)
  })
  return lone
}

export interface Hands {
  onhover: (index: number | null) => void
  onzoom: (from_s: number, to_s: number) => void
  onreset: () => void
}

function cursor(hands: Hands, background: string): uPlot.Cursor {
  return {
    y: false,
    points: { size: 7, fill: background, width: 2 },
    drag: { x: true, y: false, setScale: false },
    sync: { key: 'host', setSeries: false, filters: { pub: (type) => type === 'mousemove' || type === 'mouseleave', sub: () => true } },
    bind: {
      dblclick: () => () => {
        hands.onreset()
        return null
      },
    },
  }
}

function series(chart: Chart, ink: (name: string) => string): Pick<uPlot.Options, 'series' | 'bands'> {
  const lines: uPlot.Series[] = [{}]
  const bands: uPlot.Band[] = []
  chart.lines.forEach((_, i) => {
    const stroke = ink(COLOURS[i % COLOURS.length] ?? '--chart')
    lines.push({ stroke, width: 1.5, points: { show: true, size: 4, fill: stroke, filter: lonePoints } })
    if (chart.lines.length > BAND_LINES_MAX) return
    const edge: uPlot.Series = { stroke: 'transparent', width: 0, points: { show: false } }
    lines.push({ ...edge }, { ...edge })
    bands.push({ series: [i * 3 + 3, i * 3 + 2], fill: ink(i === 0 ? '--band' : '--band-2') })
  })
  return { series: lines, bands }
}

/** Columns in the order that `series` expects: for each line average, and smallest and largest where it has a band. */
export function columns(chart: Chart, lines: { avg: unknown; min: unknown; max: unknown }[]): unknown[] {
  return lines.flatMap((line) => (chart.lines.length > BAND_LINES_MAX ? [line.avg] : [line.avg, line.min, line.max]))
}

export function options(chart: Chart, width: number, probe: HTMLElement, hands: Hands): uPlot.Options {
  const ink = (name: string): string => resolved(probe, name)
  const font = `11px ${getComputedStyle(probe).fontFamily}`
  const grid = { stroke: ink('--grid'), width: 1 }
  return {
    width,
    height: plotHeight(chart),
    padding: [8, 6, 0, 0],
    legend: { show: false },
    cursor: cursor(hands, ink('--surface')),
    scales: {
      x: { time: true, range: (_, min, max) => [min, max] },
      y: { range: (_, low, high) => yRange(chart, low, high) },
    },
    axes: [
      {
        font,
        stroke: ink('--ink-3'),
        size: 20,
        gap: 6,
        space: (_, _axis, from_s, to_s) => (to_s - from_s < SECONDS_SHOWN_S ? 76 : 50),
        grid: { show: false },
        ticks: { show: false },
        values: (_, splits, _axis, _space, step_s) => splits.map((at) => clockTime(at * 1000, step_s < 60)),
      },
      {
        font,
        stroke: ink('--ink-3'),
        size: AXIS_PX,
        gap: 6,
        grid,
        ticks: { show: false },
        splits: (_, _axis, min, max) => [min, (min + max) / 2, max],
        values: (_, splits) => splits.map(axisWord),
      },
    ],
    ...series(chart, ink),
    hooks: {
      setCursor: [(plot) => hands.onhover(plot.cursor.idx ?? null)],
      setSelect: [
        (plot) => {
          const { left, width: wide } = plot.select
          if (wide < 6) return
          hands.onzoom(plot.posToVal(left, 'x'), plot.posToVal(left + wide, 'x'))
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
        },
      ],
    },
  }
}
