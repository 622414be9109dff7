// A round of bigbluebutton-js through a server: create, join, isMeetingRunning, getMeetingInfo,
// getMeetings, end. Arguments: base URL, secret, meeting id. Prints one JSON document with what the
// library made of each answer; the tests judge it. Never repeats a call: what is asked for first
// must be right.
"use strict";

const bbb = require("bigbluebutton-js");

async function round(baseUrl, secret, meetingId) {
  const { administration, monitoring } = bbb.api(baseUrl, secret);
  const passwords = { attendeePW: "attend-it", moderatorPW: "moderate-it" };
  const running = () => bbb.http(monitoring.isMeetingRunning(meetingId));
  const said = {};
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
  return said;
}

round(...process.argv.slice(2)).then(
  (said) => process.stdout.write(JSON.stringify(said) + "\n"),
  (error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exitCode = 1;
  },
);
