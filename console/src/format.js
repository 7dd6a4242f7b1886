// Numbers in words and figures, the same everywhere.

const MINUS = "\u2212";

export const signed = (value, digits = 2) => `${value < 0 ? MINUS : "+"}${Math.abs(value).toFixed(digits)}`;
export const number = (value, digits = 2) => `${value < 0 ? MINUS : ""}${Math.abs(value).toFixed(digits)}`;
export const seconds = (value) => `${value.toFixed(2)} s`;
export const percent = (rate, digits = 1) => `${(100 * rate).toFixed(digits)} %`;
export const range = ([low, high], digits = 1) => `${(100 * low).toFixed(digits)} to ${(100 * high).toFixed(digits)} %`;
export const named = (point) => point.replaceAll("_", " ");
export const modelName = ({ family, version }) => `${family}@${version}`;

export function hertz(value) {
  return value >= 1000 ? `${(value / 1000).toFixed(1)} kHz` : `${Math.round(value)} Hz`;
}

/** m:ss.s, as a clock says it. */
export function clock(value) {
  const minutes = Math.floor(value / 60);
  return `${minutes}:${(value - 60 * minutes).toFixed(1).padStart(4, "0")}`;
}
