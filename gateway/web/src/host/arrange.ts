//! What a host has many of, in the order in which people look for it: most moved, fullest, hottest first. Pure.

import type { HostView, Labels } from '../api.ts'

/** The sum of a series over the window. */
export type Sum = (metric: string, labels: Labels) => number

/** By kind and name, such as `net eth0`. */
export type Weights = Map<string, number>

/** Interfaces in software repeat what a real one carries; without traffic they say nothing. */
const VIRTUAL = /^(lo|ifb|veth|docker|br-|virbr|dummy|tun|tap|tunl|sit|gre|erspan|ip6|ip_vti|cali|cni|flannel)/

export function weights(view: HostView, sum: Sum): Weights {
  const found: Weights = new Map()
  for (const { interface: name } of view.networks) {
    found.set(`net ${name}`, sum('net.rx_bytes_per_s', { interface: name }) + sum('net.tx_bytes_per_s', { interface: name }))
  }
  for (const { device } of view.disk_io) {
    found.set(`disk_io ${device}`, sum('disk_io.read_bytes_per_s', { device }) + sum('disk_io.write_bytes_per_s', { device }))
  }
  for (const { mount } of view.disks) found.set(`disk ${mount}`, sum('disk.used_pct', { mount }))
  for (const { sensor } of view.temperatures) found.set(`temp ${sensor}`, sum('temp.celsius', { sensor }))
  return found
}

/** What has moved at all: the order is settled again only when this changes, so that charts do not jump about. */
export function moved(weights: Weights): string {
  return [...weights].map(([key, weight]) => `${key} ${weight > 0}`).join('\n')
}

function by<R>(rows: R[], key: (row: R) => string, weights: Weights, last: (row: R) => boolean = () => false): R[] {
  const weight = (row: R): number => weights.get(key(row)) ?? 0
  return [...rows].sort((a, b) => weight(b) - weight(a) || Number(last(a)) - Number(last(b)))
}

/** The same view: its lists in order, each file system with its device and kind. */
export function arranged(view: HostView, weights: Weights): HostView {
  const mounted = new Map(view.inventory?.disks.map((it) => [it.mount, it]))
  return {
    ...view,
    networks: by(view.networks, (it) => `net ${it.interface}`, weights, (it) => VIRTUAL.test(it.interface)),
    disk_io: by(view.disk_io, (it) => `disk_io ${it.device}`, weights),
    temperatures: by(view.temperatures, (it) => `temp ${it.sensor}`, weights),
    disks: by(view.disks, (it) => `disk ${it.mount}`, weights).map((it) => ({ ...mounted.get(it.mount), ...it })),
  }
}
