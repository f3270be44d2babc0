// The one function of Underscore that the conformance tests call: texts with <%= expressions %>.
var _ = {
  template: function (text, settings) {
    return function (data) {
      return text.replace(/<%=([\s\S]+?)%>/g, function (all, code) {
        return new Function(settings.variable, "return (" + code + ")")(data);
      });
    };
  }
};
