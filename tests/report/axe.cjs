// Runs axe-core over pages in headless Chromium: node axe.cjs MODULES CHROMIUM light|dark FILE...
// Prints a JSON list of violations; the scripts of the page itself stay blocked by its policy.
const [modules, chromium, scheme, ...files] = process.argv.slice(2);
const { createRequire } = require("module");
const load = createRequire(modules + "/");
(async () => {
  const puppeteer = load("puppeteer-core");
  const flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"];
  const browser = await puppeteer.launch({ executablePath: chromium, headless: true, args: flags });
  const found = [];
  for (const file of files) {
    for (const width of [1200, 380]) {
      const page = await browser.newPage();
      await page.setViewport({ width, height: 900 });
      await page.setBypassCSP(true);
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await page.goto(file.includes("://") ? file : "file://" + file);
      await page.evaluate(() => document.querySelectorAll("details").forEach((d) => (d.open = true)));
      await page.addScriptTag({ path: load.resolve("axe-core") });
      const result = await page.evaluate(() => window.axe.run());
      for (const v of result.violations)
        found.push({ file, width, scheme, id: v.id, n: v.nodes.length, html: v.nodes[0].html.slice(0, 200), why: v.nodes[0].failureSummary });
      await page.close();
    }
  }
  await browser.close();
  console.log(JSON.stringify(found, null, 1));
})().catch((error) => { console.error(error); process.exit(2); });
