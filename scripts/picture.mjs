// Called by quickstart-with-phoenix.sh: draws a page as a browser shows it.
//
//   node picture.mjs URL PICTURE WIDTH HEIGHT SELECTOR TEXT...
//
// Waits for each TEXT and clicks on it, one after the other; then draws the first element that
// SELECTOR finds.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { argv, env } from 'node:process';

const { chromium } = createRequire(join(env.BROWSER_TOOLS, 'package.json'))('playwright-core');
const [url, path, width, height, selector, ...texts] = argv.slice(2);

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
try {
  const page = await browser.newPage({
    viewport: { width: Number(width), height: Number(height) },
    colorScheme: 'light',
  });
  await page.goto(url);
  for (const text of texts) {
    await page.getByText(text, { exact: true }).first().click();
    await page.waitForTimeout(1_000);
  }
  await page.waitForTimeout(1_000);
  await page.locator(selector).first().screenshot({ path });
} finally {
  await browser.close();
}
