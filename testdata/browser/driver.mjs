// Drives one Chromium for tests: a JSON object on each line of the standard input is a command, a JSON object on each
// line of the standard output its answer. It ends with its input.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { chromium } = createRequire(process.env.BROWSER_MODULES + "/")("playwright-core");
const wait = 60000; // for busy cores; half a second is usual
const args = ["--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"]; // and, by default of playwright, --no-sandbox
const browser = await chromium.launch({ executablePath: process.env.BROWSER, args, timeout: 60000 });
const pages = new Map();
let last = 0;

const commands = {
	async open({ script, dark, width, height }) {
		const context = await browser.newContext({
			javaScriptEnabled: script, colorScheme: dark ? "dark" : "light", locale: "en-GB", timezoneId: "Europe/Brussels",
			viewport: { width, height }, serviceWorkers: "block", ignoreHTTPSErrors: true,
		});
		context.setDefaultTimeout(wait);
		const page = await context.newPage();
		const trouble = [];
		page.on("console", (m) => ["error", "warning"].includes(m.type()) && trouble.push(m.text()));
		page.on("pageerror", (e) => trouble.push("error of a script: " + e.message));
		page.on("dialog", (d) => { trouble.push("dialog: " + d.message()); return d.dismiss(); });
		page.on("requestfailed", (r) => {
			const why = r.failure()?.errorText ?? "";
			if (why !== "net::ERR_ABORTED") { // the page was left before
				trouble.push("not loaded: " + r.url() + ": " + why);
			}
		});
		pages.set(++last, { context, page, trouble });
		return { page: last };
	},
	async close({ page }) {
		await pages.get(page).context.close();
		pages.delete(page);
	},
	// A page that leads on by itself is followed to its end.
	async goto({ page, url }) {
		const p = pages.get(page).page;
		const r = await p.goto(url);
		await settle(p);
		return { status: r?.status() ?? 0 };
	},
	async click({ page, find }) {
		const p = pages.get(page).page;
		const target = p.locator(find).first();
		const leads = await target.evaluate((e) => e.matches("button:not([type=button]), a[href]"));
		await (leads ? follow(p, () => target.click()) : target.click());
	},
	async fill({ page, find, text }) {
		await pages.get(page).page.locator(find).first().fill(text);
	},
	async check({ page, find, on }) {
		await pages.get(page).page.locator(find).first().setChecked(on);
	},
	async press({ page, keys }) {
		const p = pages.get(page).page;
		await (keys === "Enter" ? follow(p, () => p.keyboard.press(keys)) : p.keyboard.press(keys));
	},
	async eval({ page, text }) {
		const { page: p } = pages.get(page);
		for (let left = 10; ; left--) {
			try {
				return { value: await p.evaluate(text) };
			} catch (e) {
				// A page that a redirect or a Refresh header leads away from just now: ask the one that comes.
				if (left === 0 || !/context was destroyed|navigat/i.test(String(e))) throw e;
				await p.waitForLoadState();
			}
		}
	},
	async cookies({ page, cookies }) {
		await pages.get(page).context.addCookies(cookies);
	},
	async state({ page }) {
		const { page: p, trouble } = pages.get(page);
		return { url: p.url(), text: await p.locator("body").innerText(), trouble };
	},
	async shot({ page, path, full }) {
		await pages.get(page).page.screenshot({ path, fullPage: full, type: "png" });
	},
};

// follow does what leads to another page, and waits for that page.
async function follow(page, act) {
	const there = page.waitForEvent("framenavigated", { predicate: (f) => f === page.mainFrame(), timeout: wait });
	there.catch(() => {}); // when act fails before
	await act();
	await there;
	await settle(page);
}

async function settle(page) {
	for (let i = 0; i < 50; i++) {
		await page.waitForLoadState("load");
		if ((await page.locator("main > p > a.button:text-matches('^Go on')").count()) === 0) {
			return;
		}
		await page.waitForTimeout(50);
	}
}

for await (const line of createInterface({ input: process.stdin })) {
	const { do: name, ...rest } = JSON.parse(line);
	try {
		console.log(JSON.stringify({ ok: true, ...(await commands[name](rest)) }));
	} catch (e) {
		console.log(JSON.stringify({ ok: false, error: String(e.message ?? e) }));
	}
}
await browser.close();
