// Articulatory speech of GnuSpeech: node speaking.mjs PACKAGE OUT.wav VOICE TEMPO TEXT
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [entry, out, voice, tempo, text] = process.argv.slice(2);
const { synthesize } = await import(pathToFileURL(entry));
writeFileSync(out, (await synthesize(text, { voice, tempo: Number(tempo) })).audioData);
