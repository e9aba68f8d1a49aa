//! Whoever opens a host sees the interface that works and the disk that fills up, not the first of the alphabet.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HostView } from './api.ts'
import { arranged, moved, weights } from './host/arrange.ts'

const view = {
  inventory: { disks: [{ mount: '/', device: '/dev/vda', fs: 'ext4' }] },
  disks: [{ mount: '/', used_pct: 26 }, { mount: '/srv', used_pct: 1 }],
  networks: ['lo', 'ifb0', 'eth0', 'eth1'].map((name) => ({ interface: name })),
  disk_io: [{ device: 'loop0' }, { device: 'vda' }],
  temperatures: [],
} as unknown as HostView

const names = (sums: Record<string, number>): string[][] => {
  const it = arranged(view, weights(view, (_, labels) => sums[Object.values(labels)[0] ?? ''] ?? 0))
  return [it.networks.map((row) => row.interface), it.disk_io.map((row) => row.device)]
}

test('what moved most comes first, what never moved last', () => {
  assert.deepEqual(names({ eth1: 90, lo: 20, vda: 5 }), [['eth1', 'lo', 'eth0', 'ifb0'], ['vda', 'loop0']])
})

test('on an idle host real interfaces stand before virtual ones', () => {
  assert.deepEqual(names({})[0], ['eth0', 'eth1', 'lo', 'ifb0'])
})

test('more traffic is no reason to settle the order again, a first byte is', () => {
  const at = (bytes: number): string => moved(new Map([['net eth0', bytes]]))
  assert.equal(at(10), at(20))
  assert.notEqual(at(0), at(10))
})

test('a file system shows its device and its kind, where they are known', () => {
  const [root, srv] = arranged(view, new Map()).disks
  assert.deepEqual([root?.device, root?.fs, root?.used_pct, srv?.device], ['/dev/vda', 'ext4', 26, undefined])
})
