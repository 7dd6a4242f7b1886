// A manifest's figures -> rows: one for each corpus, partition and channel that it was evaluated on.

/** `[{ corpus, partition, channel, figures }]`; what has another shape is left out. */
export function rowsOf(metrics) {
  const found = [];
  for (const [corpus, partitions] of Object.entries(metrics)) {
    for (const [partition, channels] of entries(partitions)) {
      for (const [channel, figures] of entries(channels)) {
        if (typeof figures?.eer_percent === "number") found.push({ corpus, partition, channel, figures });
      }
    }
  }
  return found;
}

const entries = (value) => (value && typeof value === "object" && !Array.isArray(value) ? Object.entries(value) : []);

/** The quantile function of the normal distribution (Acklam's approximation, to 1e-4 here), for the axes of a DET plot. */
export function probit(p) {
  const a = [
    -39.6968302866538, 220.946098424521, -275.928510446969, 138.357751867269, -30.6647980661472, 2.50662827745924,
  ];
  const b = [-54.4760987982241, 161.585836858041, -155.698979859887, 66.8013118877197, -13.2806815528857];
  const c = [
    -0.00778489400243029, -0.322396458041136, -2.40075827716184, -2.54973253934373, 4.37466414146497, 2.93816398269878,
  ];
  const d = [0.00778469570904146, 0.32246712907004, 2.445134137143, 3.75440866190742];
  const poly = (coefficients, x) => coefficients.reduce((sum, coefficient) => sum * x + coefficient, 0);
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p));
    return poly(c, q) / (poly(d, q) * q + 1);
  }
  if (p > 1 - 0.02425) return -probit(1 - p);
  const q = p - 0.5;
  const r = q * q;
  return (poly(a, r) * q) / (poly(b, r) * r + 1);
}
