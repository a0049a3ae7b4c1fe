/** Prompts that calibration rows are drafted on: many kinds of text and task, with numbers of their own each time. */

type Numbers = readonly [number, number, number, number];

const templates: readonly ((numbers: Numbers) => string)[] = [
  ([a, b, c]) => `Start with ${a}. Add ${b}. Multiply by ${c % 9}. What is the result modulo 100?`,
  ([a, b]) => `A train covers ${a + 40} km in ${(b % 5) + 2} hours. How fast is it on average? Explain each step.`,
  ([a]) => `Write a Python function that returns the ${a}th prime number, and say how long it takes.`,
  ([a, b]) => `What is larger, ${a}/${b + 1} or ${b}/${a + 1}? Give a proof.`,
  ([a]) => `Name ${(a % 5) + 3} reasons why the sky is blue at noon and red in the evening.`,
  ([a, b, c]) => `A triangle has sides ${a + 3}, ${b + 3} and ${c + 3}. Can it exist? If so, what is its area?`,
  ([a]) => `Tell a short story about a lighthouse keeper who has ${a + 2} cats and no lamp.`,
  ([a, b]) => `Take the number ${a}. Subtract ${b}. Double it. Which number do you get modulo 100?`,
  ([a]) => `Summarise in ${(a % 3) + 2} sentences how a vaccine teaches the body to recognise a virus.`,
  ([a, b]) => `Which of these is a power of two: ${a + 16}, ${b + 30}, 64? Answer with the number alone.`,
  ([a]) => `Translate into French and German: "The meeting on the ${(a % 27) + 1}th has been moved to the small room."`,
  ([a, b, c]) => `Solve for x: ${(a % 9) + 1}x + ${b} = ${c}. Check your answer.`,
  ([a]) => `My program prints ${a} lines and then stops without a message. How do I find out why?`,
  ([a, b]) => `How many ways are there to choose ${(a % 4) + 2} people out of ${(b % 10) + 6}?`,
  ([a]) => `Compare two ways to store ${a * 1000} measurements: a text file and a database.`,
  ([a, b, c, d]) => `Begin with ${a}. Increase it by ${b}. Take away ${c}. Then add ${d}. What is the remainder after division by 100?`,
];

/** How an answer is asked for; another one each time a template comes round. */
const manners = [
  '',
  ' Think step by step.',
  ' Be brief.',
  ' Explain it to a child.',
  ' Name your assumptions first.',
  ' Answer as a list.',
];

/** The prompt with this number: the same one every time, and no two alike for a long while. */
export function calibrationPrompt(index: number): string {
  // a linear congruential generator, one state a prompt: there is nothing to be random about
  let state = (index * 2_654_435_761) >>> 0;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state >>> 16) % 97;
  };
  const numbers: Numbers = [next(), next(), next(), next()];
  const manner = manners[Math.floor(index / templates.length) % manners.length] ?? '';
  return `${templates[index % templates.length]?.(numbers) ?? ''}${manner}`;
}
