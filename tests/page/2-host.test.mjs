//! One host: history and live values in its charts, the words of the host as text and nothing else.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { changes, phase, row, THIS_MACHINE, until, visit } from './browser.mjs'

const chart = (page, id) => page.locator(`[data-testid=chart][data-chart="${id}"]`)
/** Columns of pixels in which the chart has something of the colour of its first line. */
const drawn = (page, id) =>
  chart(page, id).locator('canvas').evaluate((canvas) => {
    const probe = document.body.appendChild(document.createElement('i'))
    probe.style.color = 'var(--chart)'
    const [r, g, b] = getComputedStyle(probe).color.match(/\d+/g).map(Number)
    probe.remove()
    const { width, height } = canvas
    const copy = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })
    copy.drawImage(canvas, 0, 0)
    const { data } = copy.getImageData(0, 0, width, height)
    const columns = new Set()
    for (let i = 0; i < data.length; i += 4) {
      if (Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 30 && data[i + 3] > 100) columns.add((i / 4) % width)
    }
    return columns.size
  })

test('charts hold what history knows, and go on with what comes', () =>
  visit('/hosts/load-00?range=live', async (page) => {
    const answer = await page.waitForResponse((it) => it.url().includes('/load-00/history?metric=cpu.usage_pct'))
    assert.equal(answer.status(), 200)
    const known = (await answer.json()).series[0].avg.filter((it) => it !== null)
    assert.ok(known.length > 1, `history knows ${known.length} values`)
    const first = await until('a line in the chart', () => drawn(page, 'cpu'))
    await changes('the newest value', chart(page, 'cpu').getByTestId('chart-value'))
    await until('the line to grow', () => drawn(page, 'cpu'), (now) => now > first)
    await page.getByTestId('range-1h').click()
    await until('a line in the last hour', () => drawn(page, 'cpu'))
  }))

test('the interface with the traffic and the fullest disk are shown first', () =>
  visit('/hosts/load-00', async (page) => {
    await chart(page, 'net eth0').waitFor()
    const shown = await page.getByTestId('chart').evaluateAll((all) => all.map((it) => it.dataset.chart))
    assert.deepEqual(shown.filter((it) => /^(net|disk) /.test(it)), ['disk /data', 'disk /', 'net eth0'])
  }))

test('this machine shows what the API says of it', () =>
  visit(`/hosts/${THIS_MACHINE}`, async (page) => {
    const { inventory } = await (await page.request.get(`/api/v1/hosts/${THIS_MACHINE}`)).json()
    await phase(page, 'live')
    assert.equal(await page.getByTestId('host-name').innerText(), inventory.hostname)
    assert.ok((await page.getByTestId('facts').innerText()).includes(inventory.os))
    const root = inventory.disks.find((it) => it.mount === '/')
    const cells = page.locator('[data-table=disks] [data-row="/"] td')
    assert.deepEqual((await cells.allInnerTexts()).slice(-2), [root.device, root.fs])
  }))

test('names that hold HTML or run from right to left are text', () =>
  visit('/', async (page) => {
    const name = '<img src=x onerror=alert(1)> שרת'
    const link = row(page, 'hostile').getByTestId('host-link')
    assert.equal(await link.innerText(), name)
    await link.click()
    assert.equal(await page.getByTestId('host-name').innerText(), name)
    const mount = '/<b>data</b>/עברית'
    assert.equal(await page.locator('[data-table=disks] td').first().innerText(), mount)
    assert.equal(await chart(page, `disk ${mount}`).locator('h3').innerText(), `Disk ${mount}`)
    assert.equal(await page.locator('img, table b, h1 b, h3 b').count(), 0)
  }))

test('a host that nobody has heard of is no error', () =>
  visit('/hosts/nobody', async (page) => {
    assert.match(await page.getByTestId('unknown-host').innerText(), /No host “nobody” has reported/)
  }))

test('the page of the parts names them all', () =>
  visit('/system', async (page) => {
    await page.getByTestId('parked').waitFor()
    assert.match(await page.getByTestId('parts').innerText(), /nats-server\s+ok\s+2\..*questdb\s+ok\s+9\./s)
    assert.match(await page.getByTestId('processors').innerText(), /latest\s+ok.*history\s+ok/s)
  }))
