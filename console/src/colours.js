// The colours of a spectrogram, light and dark: 256 steps between stops whose lightness only ever rises or falls.

const STOPS = {
  light: [
    [250, 250, 248],
    [205, 219, 226],
    [120, 160, 182],
    [44, 92, 122],
    [10, 33, 52],
  ],
  dark: [
    [18, 22, 26],
    [24, 58, 78],
    [48, 112, 134],
    [132, 182, 178],
    [244, 240, 206],
  ],
};

export const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;

/** 256 of [r, g, b, 1] in 0 to 1, from silent to loud. */
export function colourMap(theme) {
  const stops = STOPS[theme];
  return Array.from({ length: 256 }, (_, step) => {
    const place = (step / 255) * (stops.length - 1);
    const low = Math.min(Math.floor(place), stops.length - 2);
    return [...stops[low].map((from, i) => (from + (stops[low + 1][i] - from) * (place - low)) / 255), 1];
  });
}

/** What a custom property of the style sheet says now. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
