// A result -> words. A verdict is never a bare word: it comes with what it rests on and how often it errs.

import { named, number, percent, range, seconds } from "./format.js";

export const POINTS = ["low_friction", "balanced", "high_security"];
export const SYMBOLS = { bonafide: "●", spoof: "▲", inconclusive: "◇", problem: "!" };
export const SHORT = {
  bonafide: "likely own voice",
  spoof: "likely synthetic",
  inconclusive: "not enough to say",
  problem: "could not be scored",
};

const HEADLINES = {
  bonafide: ["Likely a person’s own voice", "Leans towards a person’s own voice"],
  spoof: ["Likely synthetic or converted", "Leans towards synthetic or converted"],
};
const MOST_TIMES = 100; // what a calibration can be trusted to say on voices that it was not made with

/** Which operating points of a model would call a score what it was called; null where they are not known. */
export function agreement(result, points) {
  if (!points || result.verdict === "inconclusive") return null;
  const others = POINTS.filter((name) => points[name] && name !== result.operating_point.name);
  const against = others.filter((name) => result.score >= points[name].threshold !== (result.verdict === "bonafide"));
  return { others, against };
}

export function headline(result, points) {
  if (result.verdict === "inconclusive") return "Not enough to say";
  const agreed = agreement(result, points);
  return HEADLINES[result.verdict][agreed && agreed.against.length > 0 ? 1 : 0];
}

/** The sentences below the headline. `policy` is the manifest's, where it is known. */
export function sentences(result, points, policy) {
  if (result.verdict === "inconclusive") {
    return [
      ...result.reasons.map((reason) => reasonInWords(reason, result, policy)),
      "So the score below says nothing, in either direction. This is never to be read as a person’s own voice.",
    ];
  }
  return [comparison(result, points), strength(result.score), rates(result)];
}

function comparison({ score, verdict, operating_point: point }, points) {
  const side = verdict === "bonafide" ? "at or above" : "below";
  const first = `The score, ${number(score)}, is ${side} the threshold of “${named(point.name)}”, ${number(point.threshold)}`;
  const agreed = agreement({ score, verdict, operating_point: point }, points);
  if (!agreed || agreed.others.length === 0) return `${first}.`;
  if (agreed.against.length === 0) return `${first}; the model’s other operating points would say the same.`;
  return `${first}; at “${agreed.against.map(named).join("” and “")}” it would be called the opposite.`;
}

function strength(score) {
  const ratio = Math.exp(Math.min(Math.abs(score), 20));
  const kind = score < 0 ? "a spoof as for a person’s own voice" : "a person’s own voice as for a spoof";
  if (ratio < 1.5) return "By itself it hardly says anything: it is about as likely for either.";
  const times =
    ratio > MOST_TIMES ? `more than ${MOST_TIMES} times` : `${ratio < 10 ? ratio.toFixed(1) : Math.round(ratio)} times`;
  return `By its calibration, such a score is ${times} as likely for ${kind}. On kinds of attack that the model has not met, that is too sure.`;
}

function rates({ verdict, operating_point: point }) {
  if (point.false_accept_rate === null) return "No error rates were measured at a threshold of one’s own.";
  const accept = `${percent(point.false_accept_rate)} of spoofs were called bonafide (for other attacks like them, ${range(point.false_accept_interval)})`;
  const reject = `${percent(point.false_reject_rate)} of bonafide clips were called spoof (for other speakers, ${range(point.false_reject_interval)})`;
  const [first, second] = verdict === "spoof" ? [reject, accept] : [accept, reject];
  return `How often it errs there, as measured: ${first}; ${second}.`;
}

export function reasonInWords(reason, { audio }, policy) {
  const least = policy && policy.min_speech_seconds;
  switch (reason) {
    case "silence":
      return "The clip is silent.";
    case "insufficient_speech":
      return `There is too little speech in it: ${seconds(audio.speech_seconds)} were found${least ? `, ${seconds(least)} are the least` : ""}.`;
    case "clipped":
      return `It was recorded too loud: ${policy ? `more than ${percent(policy.max_clipped_fraction, 0)} of it is` : "too much of it is"} cut off at full scale.`;
    case "out_of_range_bandwidth":
      return `It is too muffled: there is nothing above ${Math.round(audio.bandwidth_hz)} Hz${policy ? `, and speech reaches beyond ${policy.min_bandwidth_hz} Hz` : ""}.`;
    default:
      return `The service says: ${named(reason)}.`;
  }
}
