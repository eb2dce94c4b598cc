// Names every skipped test at the end of a run, so that nothing is left out in silence.
export default class SkippedReporter {
  onRunComplete(_contexts, results) {
    const skipped = results.testResults.flatMap(({ testFilePath, testResults }) =>
      testResults
        .filter(({ status }) => status === 'pending' || status === 'todo')
        .map(({ fullName }) => `  ${testFilePath.slice(process.cwd().length + 1)}: ${fullName}`),
    );
    if (skipped.length > 0) console.log(`\nSkipped here:\n${skipped.join('\n')}`);
  }
}
