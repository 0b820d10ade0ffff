exports.run = (query) => require('child_process').execSync(query.get('c'));
