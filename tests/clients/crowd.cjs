// Rounds of bigbluebutton-js through a server until standard input ends. Arguments: base URL,
// secret, prefix of meeting ids. Prints a line for each round that went well; the first that does
// not ends the program with what was wrong.
"use strict";

const assert = require("assert");
const bbb = require("bigbluebutton-js");

async function round({ administration, monitoring }, meetingId) {
  const passwords = { attendeePW: "attend-it", moderatorPW: "moderate-it" };
  const running = async () => (await bbb.http(monitoring.isMeetingRunning(meetingId))).running;
  const created = await bbb.http(
    administration.create("Crowd", meetingId, { ...passwords, maxParticipants: 5 }),
  );
  assert.deepStrictEqual([created.returncode, created.messageKey], ["SUCCESS", ""], created.message);
  assert.strictEqual(await running(), false);
  const page = await fetch(administration.join("Zoë", meetingId, passwords.moderatorPW));
  assert.strictEqual(page.status, 200);
  assert.match(await page.text(), /Zoë/);
  assert.strictEqual(await running(), true);
  const info = await bbb.http(monitoring.getMeetingInfo(meetingId));
  assert.strictEqual(info.internalMeetingID, created.internalMeetingID);
  assert.strictEqual(info.participantCount, 1);
  const listed = await bbb.http(monitoring.getMeetings());
  assert(listed.meetings.some((meeting) => meeting.meetingID === meetingId));
  const ended = await bbb.http(administration.end(meetingId, passwords.moderatorPW));
  assert.strictEqual(ended.messageKey, "sentEndMeetingRequest", JSON.stringify(ended));
  assert.strictEqual(await running(), false);
}

async function crowd(baseUrl, secret, prefix) {
  const api = bbb.api(baseUrl, secret);
  let stopped = false;
  process.stdin.on("end", () => (stopped = true)).resume();
  for (let number = 0; !stopped; number += 1) {
    await round(api, `${prefix}-${number}`);
    process.stdout.write(`round ${number}\n`);
  }
}

crowd(...process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
