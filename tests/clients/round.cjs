// A round of bigbluebutton-js through a server: every call that the library has. Arguments: base
// URL, secret, meeting id, id of a recording that is there. Prints one JSON document with what the
// library made of each answer; the tests judge it. Never repeats a call: what is asked for first
// must be right.
"use strict";

const bbb = require("bigbluebutton-js");

async function meeting(api, meetingId, said) {
  const { administration, monitoring } = api;
  const passwords = { attendeePW: "attend-it", moderatorPW: "moderate-it" };
  const running = () => bbb.http(monitoring.isMeetingRunning(meetingId));
  said.created = await bbb.http(
    administration.create("Café & Söhne", meetingId, {
      ...passwords,
      duration: 30,
      maxParticipants: 5,
      "meta_course-name": "Größe <1>",
    }),
  );
  said.repeated = await bbb.http(administration.create("Café & Söhne", meetingId, passwords));
  said.before = await running();
  // Like a browser: fetch follows the redirects up to the page, which makes the user present.
  const page = await fetch(
    administration.join("Zoë <(1*)>", meetingId, passwords.moderatorPW, { userID: "u-7" }),
  );
  said.page = { status: page.status, redirected: page.redirected, text: await page.text() };
  said.after = await running();
  said.info = await bbb.http(monitoring.getMeetingInfo(meetingId));
  said.listed = await bbb.http(monitoring.getMeetings());
  said.wrongEnd = await bbb.http(administration.end(meetingId, "not-the-password"));
  said.ended = await bbb.http(administration.end(meetingId, passwords.moderatorPW));
  said.gone = await bbb.http(monitoring.getMeetingInfo(meetingId));
  said.left = await bbb.http(monitoring.getMeetings());
  said.over = await running();
}

async function recordings({ recording }, recordId, said) {
  const list = (kwparams) => bbb.http(recording.getRecordings(kwparams));
  said.recorded = await list({ recordID: recordId });
  said.updated = await bbb.http(recording.updateRecordings(recordId, { meta_title: "Titel & <mehr>" }));
  said.hidden = await bbb.http(recording.publishRecordings(recordId, false));
  said.shown = await list({ recordID: recordId, state: "any" });
  said.deleted = await bbb.http(recording.deleteRecordings(recordId));
  said.lost = await bbb.http(recording.deleteRecordings(recordId));
  said.none = await list({ recordID: recordId });
}

async function hooks({ hooks: calls }, said) {
  const url = "https://app.example/hook?a=1&b=2";
  said.hooked = await bbb.http(calls.create(url, { meetingID: "js & more" }));
  said.hookedAgain = await bbb.http(calls.create(url));
  said.hooks = await bbb.http(calls.list());
  said.unhooked = await bbb.http(calls.destroy(said.hooked.hookID));
  said.unhookedAgain = await bbb.http(calls.destroy(said.hooked.hookID));
  said.noHooks = await bbb.http(calls.list());
}

async function round(baseUrl, secret, meetingId, recordId) {
  const api = bbb.api(baseUrl, secret);
  const said = {};
  await meeting(api, meetingId, said);
  await recordings(api, recordId, said);
  await hooks(api, said);
  return said;
}

round(...process.argv.slice(2)).then(
  (said) => process.stdout.write(JSON.stringify(said) + "\n"),
  (error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exitCode = 1;
  },
);
