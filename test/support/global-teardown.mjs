// After a run of suites.
import { removeRunFolder } from './run-folder.mjs';

export default removeRunFolder;
