//! The API's description opens in a browser from the gateway alone, and shows every operation.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until, visit } from './browser.mjs'

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace']

test('the API can be browsed: every operation of the document, with its description', () =>
  // A call to anywhere but the gateway fails every visit.
  visit('/api/docs', async (page) => {
    const document = await page.evaluate(() => fetch('/api/v1/openapi.json').then((it) => it.json()))
    const wanted = Object.entries(document.paths)
      .flatMap(([path, methods]) => METHODS.filter((it) => methods[it]).map((it) => `${it.toUpperCase()} ${path}`))
      .sort()
    assert.ok(wanted.includes('GET /api/v1/hosts/{id}/history'), wanted.join())
    await page.locator('.info .title').waitFor()
    assert.match(await page.locator('.info .title').innerText(), new RegExp(document.info.title))
    const shown = () =>
      page.locator('.opblock').evaluateAll((blocks) =>
        blocks
          .map((it) => `${it.querySelector('.opblock-summary-method').textContent} ${it.querySelector('.opblock-summary-path').dataset.path}`)
          .sort(),
      )
    await until('every operation', shown, (it) => it.join() === wanted.join())
    const hosts = page.locator('.opblock-get', { has: page.locator('[data-path="/api/v1/hosts"]') })
    await hosts.locator('.opblock-summary').click()
    await hosts.locator('.opblock-body').getByText('limit', { exact: true }).first().waitFor()
  }))
