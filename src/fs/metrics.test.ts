import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Metrics } from './metrics.js'
import { Meter } from './traffic.js'

test('metrics in the text format of Prometheus', () => {
  const metrics = new Metrics()
  metrics.counter('a_total', 'With a \\ and\na line.', 'kind').add(2, 'odd "name"\n')
  metrics.counter('b_total', 'Plain.').add()
  metrics.read('gauge', 'c', 'Asked for.', () => 4.5)
  metrics.histogram('d_seconds', 'Times.', 'op').observe(0.3, 'x')
  const lines = metrics.text().split('\n')
  assert.deepEqual(lines.slice(0, 9), [
    '# HELP a_total With a \\\\ and\\na line.', '# TYPE a_total counter', 'a_total{kind="odd \\"name\\"\\n"} 2',
    '# HELP b_total Plain.', '# TYPE b_total counter', 'b_total 1', '# HELP c Asked for.', '# TYPE c gauge', 'c 4.5',
  ])
  assert.deepEqual(lines.filter((line) => /le="(0.25|0.5|120|\+Inf)"|_sum|_count/.test(line)), [
    'd_seconds_bucket{op="x",le="0.25"} 0', 'd_seconds_bucket{op="x",le="0.5"} 1', 'd_seconds_bucket{op="x",le="120"} 1', 'd_seconds_bucket{op="x",le="+Inf"} 1',
    'd_seconds_sum{op="x"} 0.3', 'd_seconds_count{op="x"} 1',
  ])
  assert.equal(lines.at(-1), '')
})

test('a rate is that of the last seconds', () => {
  let now = 10_000
  const meter = new Meter(() => now)
  meter.add(500)
  now += 2_000
  meter.add(500)
  assert.deepEqual([meter.rate, meter.total], [200, 1000])
  now += 4_000
  assert.equal(meter.rate, 100)
  now += 60_000
  meter.add(5)
  assert.deepEqual([meter.rate, meter.total], [1, 1005])
})
