// What makes these pages a little easier where scripts run. Nothing depends on it.
"use strict";

// A button beside what is shown once puts it into the clipboard.
for (const area of document.querySelectorAll("textarea.secret")) {
	const button = document.createElement("button");
	button.type = "button";
	button.className = "small";
	button.textContent = "Copy";
	button.addEventListener("click", async () => {
		try {
			await navigator.clipboard.writeText(area.value);
			button.textContent = "Copied";
		} catch {
			area.focus();
			area.select();
			button.textContent = "Selected: copy it with the keyboard";
		}
	});
	area.after(button);
}

// Times are written in UTC; who points at one reads it in the time of the place.
for (const time of document.querySelectorAll("time[datetime]")) {
	const at = new Date(time.dateTime);
	if (!Number.isNaN(at.getTime())) {
		time.title = at.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
	}
}

// The first thing that is wrong gets the focus.
document.querySelector("[aria-invalid=true]")?.focus();
